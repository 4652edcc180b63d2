use super::*;

fn csv() -> Csv {
    Csv {
        delimiter: b',',
        null: Box::default(),
        default: None,
        quote: b'"',
        escape: b'"',
        force_quote: Box::default(),
        force_null: Box::default(),
        force_not_null: Box::default(),
    }
}

fn formats() -> Vec<Format> {
    let text =
        |delimiter, null: &str| Layout::Text { delimiter, null: null.as_bytes().into(), default: None };
    let layouts = [
        text(b'\t', "\\N"),
        text(b'|', "none"),
        text(b'S', "nil"),
        Layout::Csv(Box::new(csv())),
        Layout::Csv(Box::new(Csv {
            delimiter: b';',
            escape: b'\\',
            quote: b'\'',
            null: b"NULL".as_slice().into(),
            ..csv()
        })),
        Layout::Csv(Box::new(Csv { force_quote: [true, false, true].into(), ..csv() })),
        Layout::Binary,
    ];
    layouts.into_iter().map(|layout| Format { layout, header: Header::No }).collect()
}

/// All rows of the data, which comes in pieces of these lengths, as what their fields mean.
fn read(
    format: &Format,
    data: &[u8],
    pieces: impl Fn(usize) -> usize,
) -> Result<Vec<Vec<Option<Vec<u8>>>>, Broken> {
    let (mut rows, mut all, mut buffer, mut at, mut turn) = (Rows::new(true), Vec::new(), Vec::new(), 0, 0);
    loop {
        let ended = at >= data.len();
        loop {
            match rows.next(format, &buffer, ended)? {
                Piece::More => break,
                Piece::End(_) => return Ok(all),
                Piece::Preamble(whole) => drop(buffer.drain(..whole)),
                Piece::Row(row, end) => {
                    let mut fields = Vec::new();
                    format.visit::<Broken>(
                        &buffer[..row],
                        |column, _, value| {
                            assert_eq!(column, fields.len());
                            fields.push(match value {
                                Some(Value::Given(value)) => Some(value.to_vec()),
                                Some(Value::Null | Value::Default) | None => None,
                            });
                            Ok(())
                        },
                        |_| true,
                    )?;
                    assert_eq!(format.count(&buffer[..row])?, fields.len());
                    all.push(fields);
                    buffer.drain(..row + end);
                }
            }
        }
        if ended {
            return Ok(all);
        }
        let next = (at + pieces(turn).max(1)).min(data.len());
        buffer.extend_from_slice(&data[at..next]);
        (at, turn) = (next, turn + 1);
    }
}

const NASTY: [&str; 20] = [
    "",
    "plain",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "\\",
    "\\N",
    "\\.",
    "\"",
    "\"\"",
    "a,b",
    "a;b'c",
    "null",
    "NULL",
    "SEAL",
    "\u{8}\u{b}\u{c}",
    "ä|ö",
    "'",
    "\r",
    "x\\ny",
];

fn written(format: &Format, rows: &[Vec<Option<Vec<u8>>>]) -> Vec<u8> {
    let mut data = Vec::new();
    if format.layout == Layout::Binary {
        data.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    }
    for row in rows {
        format.begin(&mut data, row.len());
        for (column, value) in row.iter().enumerate() {
            match value {
                Some(value) => format.put(&mut data, column, value, row.len() == 1),
                None => format.put_null(&mut data, column),
            }
        }
        if format.has_lines() {
            data.push(b'\n');
        }
    }
    if format.layout == Layout::Binary {
        data.extend_from_slice(b"\xff\xff");
    }
    data
}

#[test]
fn what_is_written_is_read_as_it_was_wherever_it_is_cut() {
    let value = |text: &str| Some(text.as_bytes().to_vec());
    let rows: Vec<Vec<Option<Vec<u8>>>> = (0..NASTY.len())
        .map(|n| vec![value(NASTY[n]), None, value(NASTY[(n * 7 + 3) % NASTY.len()])])
        .collect();
    for format in formats() {
        let data = written(&format, &rows);
        let whole = read(&format, &data, |_| data.len()).unwrap();
        assert_eq!(whole, rows, "{format:?}");
        for size in 1..8 {
            assert_eq!(read(&format, &data, |_| size).unwrap(), rows, "{size} {format:?}");
        }
        for cut in 0..data.len() {
            let pieces = |turn| if turn == 0 { cut.max(1) } else { data.len() };
            assert_eq!(read(&format, &data, pieces).unwrap(), rows, "cut at {cut}: {format:?}");
        }
    }
}

#[test]
fn rows_are_read_as_the_server_reads_them() {
    let (text, csv) = (formats().remove(0), formats().remove(3));
    let told = |format: &Format, data: &str| {
        let rows = read(format, data.as_bytes(), |turn| turn % 3);
        let told = |value: Option<Vec<u8>>| {
            value.map_or("-".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
        };
        rows.map(|rows| {
            rows.into_iter()
                .map(|row| row.into_iter().map(told).collect::<Vec<_>>().join("|"))
                .collect::<Vec<_>>()
        })
        .map_err(|broken| broken.0)
    };
    for (format, data, rows) in [
        (&text, "a\tb\nc\td", &["a|b", "c|d"][..]),
        (&text, "a\\tb\t\\N\n\\\\N\t\\x41\\101\\z\n", &["a\tb|-", "\\N|AAz"]),
        (&text, "a\\\nb\tc\n", &["a\nb|c"]),
        (&text, "a\r\nb\r\n", &["a", "b"]),
        (&text, "a\rb\r", &["a", "b"]),
        (&text, "a\n\\.\nb\n", &["a"]),
        (&text, "\n", &[""]),
        (&csv, "a,\"b\"\"c\",\n\"\",\"x\ny\",z", &["a|b\"c|-", "|x\ny|z"]),
        (&csv, "a\"b,c\"d\n", &["ab,cd"]),
        (&csv, "\"\\.\"\n\\.x\n\\.\nlost\n", &["\\.", "\\.x"]),
    ] {
        let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
        assert_eq!(told(format, data), Ok(rows), "{data:?}");
    }
    assert!(told(&text, "a\nb\r\n").is_err());
    assert!(told(&text, "a\\.\n").is_err());
    assert!(told(&csv, "\"a").is_err());
    let mut rows = Rows::new(false);
    assert_eq!(rows.next(&csv, b"\\.\n", true), Ok(Piece::Row(2, 1)), "data since version 18");
}

#[test]
fn what_is_not_of_the_binary_form_is_said_to_be_so() {
    let format = Format { layout: Layout::Binary, header: Header::No };
    let mut good = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (data, broken) in
        [(&b"PGCOPX"[..], true), (b"PGC", false), (b"PGCOPY\n\xff\r\n\0\0\0\0\0\x7f\0\0\0", true)]
    {
        assert_eq!(Rows::new(false).next(&format, data, false).is_err(), broken, "{data:?}");
    }
    let mut rows = Rows::new(false);
    assert_eq!(rows.next(&format, &good, false), Ok(Piece::Preamble(19)));
    good = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff".to_vec();
    for cut in 0..good.len() {
        assert_eq!(rows.next(&format, &good[..cut], false), Ok(Piece::More));
    }
    assert_eq!(rows.next(&format, &good, false), Ok(Piece::Row(11, 0)));
    assert!(rows.next(&format, b"\0\x01\xff\xff\xff\xfe", false).is_err());
    assert_eq!(rows.next(&format, b"\xff\xff", false), Ok(Piece::End(2)));
}
