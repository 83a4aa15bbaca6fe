//! Records of comma-separated values (RFC 4180), with the line each begins on.
//!
//! INVARIANT: every text has records; an open quote ends with the text.

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The line it begins on, from 1.
    pub line: usize,
    /// Its fields.
    pub fields: Vec<String>,
}

/// Reads all records; empty lines are none.
pub fn read(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut characters = text.chars().peekable();
    let (mut line, mut begun) = (1, 1);
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut touched = false;
    while let Some(character) = characters.next() {
        if character == '\n' {
            line += 1;
        }
        match (quoted, character) {
            (true, '"') if characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            (true, '"') => quoted = false,
            (true, other) => field.push(other),
            (false, '"') if field.is_empty() => {
                quoted = true;
                touched = true;
            }
            (false, ',') => {
                fields.push(std::mem::take(&mut field));
                touched = true;
            }
            (false, '\r') if characters.peek() == Some(&'\n') => {}
            (false, '\n') => {
                if touched || !field.is_empty() {
                    fields.push(std::mem::take(&mut field));
                    records.push(Record { line: begun, fields: std::mem::take(&mut fields) });
                }
                touched = false;
                begun = line;
            }
            (false, other) => field.push(other),
        }
    }
    if touched || !field.is_empty() {
        fields.push(field);
        records.push(Record { line: begun, fields });
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_commas_lines_and_quotes() {
        let records = read("a,b\r\n\n\"x,\"\"y\"\"\nz\",2\n3,\"\"");
        let fields: Vec<_> = records.iter().map(|record| (record.line, record.fields.clone())).collect();
        let own = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>();
        assert_eq!(fields, [(1, own(&["a", "b"])), (3, own(&["x,\"y\"\nz", "2"])), (5, own(&["3", ""]))]);
    }
}
