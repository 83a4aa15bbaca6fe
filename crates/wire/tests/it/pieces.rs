//! A stream says the same however it is cut into pieces.

use bytes::{Buf as _, BytesMut};
use proptest::prelude::*;
use tenantry_wire::frame::{self, FrameError};

const MAX: usize = 4096;

/// What a reader makes of a stream.
#[derive(Debug, PartialEq)]
struct Read {
    messages: Vec<(u8, Vec<u8>)>,
    /// Bytes of the message that is not there as a whole yet, or why it stopped.
    end: Result<usize, FrameError>,
}

fn read(pieces: &[&[u8]]) -> Read {
    let (mut waiting, mut messages) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            match frame::whole(&waiting, MAX) {
                Ok(Some(message)) => {
                    messages.push((message.tag, message.body.to_vec()));
                    let len = message.len;
                    waiting.advance(len);
                }
                Ok(None) => break,
                Err(error) => return Read { messages, end: Err(error) },
            }
        }
        // A reader never has to keep more than one message.
        assert!(waiting.len() < MAX);
    }
    Read { messages, end: Ok(waiting.len()) }
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(tag, body)| {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), &body].concat()
    })
}

proptest! {
    #[test]
    fn pieces_make_no_difference(messages in prop::collection::vec(message(), 0..12), rest in prop::collection::vec(any::<u8>(), 0..12),
                                 cuts in prop::collection::vec(1usize..40, 1..80)) {
        let stream = [messages.concat(), rest].concat();
        let (mut pieces, mut left) = (Vec::new(), stream.as_slice());
        for cut in cuts.iter().cycle() {
            if left.is_empty() {
                break;
            }
            let (piece, behind) = left.split_at((*cut).min(left.len()));
            pieces.push(piece);
            left = behind;
        }
        let whole = read(&[&stream]);
        prop_assert_eq!(&read(&pieces), &whole);
        prop_assert!(whole.messages.len() >= messages.len());
        for (found, put) in whole.messages.iter().zip(&messages) {
            prop_assert_eq!((found.0, found.1.as_slice()), (put[0], &put[5..]));
        }
    }
}
