//! Whether a stream that is there will do. Pure: what was found goes in, what is wrong with it comes out.

use std::time::Duration;

use tenantry_domain::Timestamp;

/// Room that the largest message needs, in bytes: a body of 16 KiB and its headers.
const MESSAGE_MIN: i32 = 20 * 1024;

/// What matters of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The subjects that it takes.
    pub subjects: Vec<String>,
    /// Whether it keeps messages until limits are reached, whoever has read them.
    pub keeps: bool,
    /// Whether it says that it took a message.
    pub answers: bool,
    /// Whether messages can be put into it: it is no copy of another one, and not closed.
    pub takes: bool,
    /// The largest message; -1 or 0 for no bound.
    pub message_max: i32,
    /// For how long it knows messages by their ids.
    pub window: Duration,
    /// The largest message that its server takes; 0 for no bound.
    pub payload_max: usize,
}

/// Why a stream will not do, and what would. What has to be forgotten first is published anew: all of it, or what comes from then on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Our subjects are not among its own.
    #[error("its subjects are `{}`, and `{wanted}` is not among them: run `nats stream edit {stream} --subjects '{wanted}'`, or name another stream", .found.join(", "))]
    Subjects {
        /// The stream.
        stream: String,
        /// Its subjects.
        found: Vec<String>,
        /// Ours.
        wanted: String,
    },
    /// Messages that were read are gone, so nobody else gets them, and we cannot see what was published.
    #[error("it gives messages away (retention by work queue or interest): name a stream with limits retention")]
    GivesAway,
    /// It does not say what it took.
    #[error("it acknowledges nothing: run `nats stream edit {stream} --ack`")]
    Silent {
        /// The stream.
        stream: String,
    },
    /// It is a mirror, or sealed.
    #[error("it is a mirror of another stream or sealed, and takes no messages: name another stream")]
    Closed,
    /// Our largest messages would be refused.
    #[error("it takes no message above {found} bytes: run `nats stream edit {stream} --max-msg-size {MESSAGE_MIN}`")]
    Small {
        /// The stream.
        stream: String,
        /// Its bound.
        found: i32,
    },
    /// The server would refuse our largest messages.
    #[error(
        "its server takes no message above {found} bytes: set `max_payload` of the server, or of the account, to {MESSAGE_MIN} or more"
    )]
    Payload {
        /// The server's bound.
        found: usize,
    },
    /// What was published to is not there any more.
    #[error(
        "it was published to and is gone: set another TENANTRY_NATS_STREAM, or run `tenantry events streams forget {stream}` to have it made anew"
    )]
    Gone {
        /// The stream.
        stream: String,
    },
    /// It has the name of the one that was published to, and was made at another time.
    #[error(
        "it was made at {found}, and the one of this name that was published to at {known}: set another TENANTRY_NATS_STREAM, or run `tenantry events streams forget {stream}` to begin anew with this one"
    )]
    AnotherStream {
        /// The stream.
        stream: String,
        /// When the one that was published to was made.
        known: Timestamp,
        /// When this one was.
        found: Timestamp,
    },
    /// A message is there that we could have published, but of an event that is not ours.
    #[error(
        "the newest message on `{subject}` is of an event that this installation does not have, as after a restore of the control database: set another TENANTRY_NATS_STREAM"
    )]
    OtherHistory {
        /// Where.
        subject: String,
    },
    /// It forgets ids sooner than was asked for.
    #[error("it knows ids of messages for {found:?} and not for {wanted:?}: run `nats stream edit {stream} --dupe-window {}s`, or set TENANTRY_NATS_DUPLICATES", .wanted.as_secs().max(1))]
    Window {
        /// The stream.
        stream: String,
        /// For how long it does.
        found: Duration,
        /// For how long it should.
        wanted: Duration,
    },
    /// Another stream has our subjects.
    #[error("another stream takes `{wanted}` already: name that one, or set another TENANTRY_NATS_PREFIX")]
    Overlap {
        /// Ours.
        wanted: String,
    },
    /// Somebody else publishes on our subjects.
    #[error(
        "there is a message on `{subject}` that is not ours: let nobody else publish there, or set another TENANTRY_NATS_PREFIX"
    )]
    Foreign {
        /// Where.
        subject: String,
    },
}

/// Judges a stream.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn judge(stream: &str, shape: &Shape, wanted: &str, window: Duration) -> Result<(), Unfit> {
    let stream = stream.to_owned();
    if !shape.takes {
        return Err(Unfit::Closed);
    }
    if !shape.subjects.iter().any(|pattern| covers(pattern, wanted)) {
        return Err(Unfit::Subjects { stream, found: shape.subjects.clone(), wanted: wanted.to_owned() });
    }
    if !shape.keeps {
        return Err(Unfit::GivesAway);
    }
    if !shape.answers {
        return Err(Unfit::Silent { stream });
    }
    if shape.message_max > 0 && shape.message_max < MESSAGE_MIN {
        return Err(Unfit::Small { stream, found: shape.message_max });
    }
    judge_payload(shape.payload_max)?;
    if shape.window < window {
        return Err(Unfit::Window { stream, found: shape.window, wanted: window });
    }
    Ok(())
}

/// Judges the bound of a server, also of one that has no stream yet.
///
/// # Errors
/// It is too small.
pub fn judge_payload(found: usize) -> Result<(), Unfit> {
    let is_small = i32::try_from(found).is_ok_and(|found| found > 0 && found < MESSAGE_MIN);
    if is_small { Err(Unfit::Payload { found }) } else { Ok(()) }
}

/// Whether every subject that `wanted` (words, then `>`) means is one that `pattern` means.
fn covers(pattern: &str, wanted: &str) -> bool {
    let mut theirs = pattern.split('.');
    for word in wanted.split('.') {
        match theirs.next() {
            Some(">") => return true,
            Some("*") if word != ">" => {}
            Some(their) if their == word => {}
            _ => return false,
        }
    }
    theirs.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            subjects: vec!["other".into(), "tenantry.>".into()],
            keeps: true,
            answers: true,
            takes: true,
            message_max: -1,
            window: Duration::from_secs(120),
            payload_max: 1024 * 1024,
        }
    }

    fn verdict(shape: &Shape) -> Result<(), Unfit> {
        judge("S", shape, "tenantry.>", Duration::from_secs(120))
    }

    #[test]
    fn subjects_are_covered_by_what_means_them_all() {
        for pattern in [">", "tenantry.>", "*.>"] {
            assert!(covers(pattern, "tenantry.>"), "{pattern}");
        }
        for pattern in ["tenantry", "tenantry.*", "tenantry.prod.>", "other.>", "*", "tenantry.*.>"] {
            assert!(!covers(pattern, "tenantry.>"), "{pattern}");
        }
        assert!(covers("a.>", "a.b.>") && covers("a.*.>", "a.b.>") && !covers("a.c.>", "a.b.>"));
    }

    #[test]
    fn what_would_lose_or_refuse_events_is_refused_with_the_way_out() {
        assert_eq!(verdict(&shape()), Ok(()));
        assert_eq!(verdict(&Shape { message_max: 0, payload_max: 0, ..shape() }), Ok(()));
        let cases = [
            (Shape { subjects: vec!["orders.*".into()], ..shape() }, "--subjects 'tenantry.>'"),
            (Shape { subjects: vec![], ..shape() }, "--subjects"),
            (Shape { keeps: false, ..shape() }, "limits retention"),
            (Shape { answers: false, ..shape() }, "--ack"),
            (Shape { takes: false, ..shape() }, "another stream"),
            (Shape { message_max: 4096, ..shape() }, "--max-msg-size"),
            (Shape { payload_max: 8192, ..shape() }, "`max_payload`"),
            (Shape { window: Duration::from_secs(119), ..shape() }, "--dupe-window 120s"),
        ];
        for (shape, hint) in cases {
            let text = verdict(&shape).map_err(|unfit| unfit.to_string());
            assert!(text.as_ref().is_err_and(|text| text.contains(hint)), "{text:?} {hint}");
        }
    }
}
