//! Texts of values: such as the server takes, and such as are nearly so.

use super::chance::Chance;

const MONTHS: [&str; 16] = [
    "Jan",
    "feb",
    "MAR",
    "April",
    "may",
    "June",
    "jul",
    "Aug",
    "Sept",
    "Oct",
    "november",
    "Dec",
    "sep",
    "SEPTEMBER",
    "Mayo",
    "mai",
];
const ZONES: [&str; 26] = [
    "",
    "Z",
    "+00",
    "-08",
    "+05:30",
    "-0330",
    "+14:45:30",
    "+16",
    "UTC",
    "EST",
    "PDT",
    "CEST",
    "MSK",
    "IST",
    "America/New_York",
    "europe/berlin",
    "Asia/Kolkata",
    "Nowhere/Town",
    "US/Eastern",
    "GMT",
    "PST DST",
    "zulu",
    "Etc/GMT+5",
    "America/Los_Angeles",
    "KST",
    "+12:60",
];

fn year(chance: &mut Chance) -> String {
    match chance.below(8) {
        0 => format!("{:02}", chance.below(100)),
        1 => format!("{}", chance.below(400)),
        2 => format!("{}", chance.range(1, 300_000)),
        3 => format!("{:05}", chance.below(10_000)),
        4 => (*chance.of(&["0000", "0001", "4713", "4714", "294276", "294277", "5874897", "5874898"]))
            .to_owned(),
        _ => format!("{:04}", chance.range(1850, 2100)),
    }
}

fn two(chance: &mut Chance, most: i64) -> String {
    match chance.below(12) {
        0 => format!("{}", chance.range(0, most + 3)),
        1 => format!("{}", chance.range(0, 9)),
        _ => format!("{:02}", chance.range(1, most)),
    }
}

pub fn date(chance: &mut Chance) -> String {
    let most = if chance.one_in(4) { 31 } else { 28 };
    let (y, m, d) = (year(chance), two(chance, 12), two(chance, most));
    let month = *chance.of(&MONTHS);
    let text = match chance.below(22) {
        0..=4 => format!("{y}-{m}-{d}"),
        5 => format!("{m}/{d}/{y}"),
        6 => format!("{d}.{m}.{y}"),
        7 => format!("{d}-{m}-{y}"),
        8 => format!("{month} {d}, {y}"),
        9 => format!("{d} {month} {y}"),
        10 => format!("{y}-{month}-{d}"),
        11 => format!("{d}-{month}-{y}"),
        12 => format!("{y}{m}{d}"),
        13 => format!("{y} {m} {d}"),
        14 => format!("{y}.{:03}", chance.range(0, 370)),
        15 => format!("J{}", chance.range(-5, 3_000_000)),
        16 => format!("{month}-{d}-{y}"),
        17 => format!("{}{m}{d}", chance.range(10, 99)),
        18 => (*chance.of(&["infinity", "-infinity", "epoch", "Infinity", " -infinity "])).to_owned(),
        19 => format!("Tue {month} {d} {y}"),
        20 => format!("{m}-{d}"),
        _ => format!("{m} {month} {y} {d}"),
    };
    let text = match chance.below(10) {
        0 => format!("{text} BC"),
        1 => format!("{text} AD"),
        _ => text,
    };
    if chance.one_in(25) { format!("  {text}\t") } else { text }
}

pub fn time(chance: &mut Chance) -> String {
    let (h, m, s) = (two(chance, 23), two(chance, 59), two(chance, 59));
    let f = match chance.below(4) {
        0 => format!("{}", chance.below(1000)),
        1 => format!("{:06}", chance.below(1_000_000)),
        2 => format!("{:09}", chance.below(1_000_000_000)),
        _ => (*chance.of(&["5", "999999", "9999999", "0000005", "0", "000001", "9999995", ""])).to_owned(),
    };
    match chance.below(16) {
        0..=4 => format!("{h}:{m}:{s}"),
        5..=7 => format!("{h}:{m}:{s}.{f}"),
        8 => format!("{h}:{m}"),
        9 => format!("{h}{m}{s}"),
        10 => format!("{h}{m}"),
        11 => format!("{}:{m}:{s} {}", chance.range(0, 13), chance.of(&["AM", "pm", "P.M."])),
        12 => (*chance.of(&[
            "24:00:00",
            "24:00:01",
            "23:59:60",
            "00:00:60",
            "allballs",
            "12:",
            "25:00",
            "23:60:00",
            "23:59:59.9999999",
        ]))
        .to_owned(),
        13 => format!("{h}:{m}.{f}"),
        14 => format!("{h}{m}{s}.{f}"),
        _ => format!("T{h}:{m}:{s}"),
    }
}

fn zone(chance: &mut Chance) -> String {
    let zone = *chance.of(&ZONES);
    if chance.one_in(3) && !zone.is_empty() { format!(" {zone}") } else { zone.to_owned() }
}

pub fn timestamp(chance: &mut Chance) -> String {
    let (date, time, zone) = (date(chance), time(chance), zone(chance));
    match chance.below(12) {
        0 => date,
        1 => format!("{date}T{time}{zone}"),
        2 => format!("{time}{zone} {date}"),
        3 => format!("{date} {time}"),
        4 => {
            let (y, m, d) = (year(chance), two(chance, 12), two(chance, 28));
            format!("{y}-{m}-{d} {time}{zone} BC")
        }
        5 => format!("Tue {} {} {time} {} {zone}", chance.of(&MONTHS), two(chance, 28), year(chance)),
        6 => format!("{}{}{}T{time}{zone}", year(chance), two(chance, 12), two(chance, 28)),
        _ => {
            let (y, m, d) = (year(chance), two(chance, 12), two(chance, 28));
            format!("{y}-{m}-{d} {time}{zone}")
        }
    }
}

pub fn timetz(chance: &mut Chance) -> String {
    let (time, zone) = (time(chance), zone(chance));
    match chance.below(8) {
        0 => format!("{} {time}{zone}", date(chance)),
        1 => time,
        _ => format!("{time}{zone}"),
    }
}

fn digits(chance: &mut Chance, most: u64) -> String {
    let length = chance.below(most) + 1;
    (0..length).map(|_| char::from(b'0' + chance.below(10) as u8)).collect()
}

pub fn integer(chance: &mut Chance) -> String {
    const EDGES: [&str; 18] = [
        "0",
        "-0",
        "+5",
        "32767",
        "32768",
        "-32768",
        "-32769",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        " 12 ",
        "007",
        "",
        "1 2",
    ];
    match chance.below(4) {
        0 => (*chance.of(&EDGES)).to_owned(),
        1 => format!("-{}", digits(chance, 12)),
        _ => digits(chance, 8),
    }
}

pub fn decimal(chance: &mut Chance) -> String {
    const EDGES: [&str; 26] = [
        "NaN",
        "nan",
        "Infinity",
        "-inf",
        "+Infinity",
        "0",
        "-0",
        "-0.00",
        "1e3",
        "1.5e-3",
        "1e400",
        "1e-400",
        "99999999.995",
        "99999999.994",
        "-0.005",
        "0.004",
        "-0.004",
        ".5",
        "5.",
        ".",
        "1e",
        "+NaN",
        " 1.5 ",
        "123456789012345678901234567890.12345",
        "1e131071",
        "1e131072",
    ];
    let sign = *chance.of(&["", "-", "", "+"]);
    match chance.below(6) {
        0 => (*chance.of(&EDGES)).to_owned(),
        1 => format!("{sign}{}.{}e{}", digits(chance, 4), digits(chance, 6), chance.range(-20, 20)),
        2 => format!("{sign}{}", digits(chance, 10)),
        3 => format!("{sign}{}.{}5", digits(chance, 8), digits(chance, 2)),
        4 => format!("{sign}{}.{}", digits(chance, 30), digits(chance, 30)),
        _ => format!("{sign}{}.{}", digits(chance, 6), digits(chance, 5)),
    }
}

pub fn float(chance: &mut Chance) -> String {
    const EDGES: [&str; 24] = [
        "1e15",
        "1e14",
        "123456789012345678",
        "1e-4",
        "1e-5",
        "0.0001",
        "0.00001",
        "1e22",
        "1e23",
        "5e-324",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "1e309",
        "1e-400",
        "0e-400",
        "-0",
        "999999",
        "1000000",
        "1.17549435e-38",
        "3.4028235e38",
        "3.5e38",
        "1e-46",
        "16777217",
        "9007199254740993",
    ];
    match chance.below(4) {
        0 => (*chance.of(&EDGES)).to_owned(),
        1 => {
            let number = f64::from_bits(chance.next());
            if number.is_finite() { format!("{number:e}") } else { "NaN".to_owned() }
        }
        2 => {
            let number = f32::from_bits(chance.next() as u32);
            if number.is_finite() { format!("{number:e}") } else { "-Infinity".to_owned() }
        }
        _ => decimal(chance),
    }
}

pub fn boolean(chance: &mut Chance) -> String {
    const ALL: [&str; 22] = [
        "t", "true", "TRUE", "tr", "f", "fal", "False", "yes", "y", "no", "n", "on", "off", "of", "o", "1",
        "0", " t ", "", "2", "truth", "nope",
    ];
    (*chance.of(&ALL)).to_owned()
}

pub fn uuid(chance: &mut Chance) -> String {
    let hex: String = (0..32).map(|_| char::from(*chance.of(b"0123456789abcdefABCDEF"))).collect();
    match chance.below(6) {
        0 => hex,
        1 => format!("{{{hex}}}"),
        2 => hex
            .as_bytes()
            .chunks(4)
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect::<Vec<_>>()
            .join("-"),
        3 => format!("{}-{}", &hex[..5], &hex[5..]),
        _ => format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]),
    }
}

pub fn text(chance: &mut Chance) -> String {
    const LETTERS: [&str; 16] =
        ["a", "b", "Z", " ", " ", "  ", "é", "ß", "漢", "😀", "\\", "'", "\"", "\t", "e\u{301}", "İ"];
    let length = chance.below(12);
    let mut text: String = (0..length).map(|_| *chance.of(&LETTERS)).collect();
    if chance.one_in(8) {
        text.push_str(&"ä".repeat(chance.below(70) as usize));
    }
    text
}

/// Something else, by one small change.
pub fn changed(text: &str, chance: &mut Chance) -> String {
    const LETTERS: &str = "0123456789-+:./ eETZaxyP{}\",\\'[]";
    let mut letters: Vec<char> = text.chars().collect();
    let letter = *chance.of(&LETTERS.chars().collect::<Vec<_>>());
    let at = chance.below(letters.len() as u64 + 1) as usize;
    match chance.below(3) {
        0 => letters.insert(at, letter),
        1 if at < letters.len() => {
            letters.remove(at);
        }
        _ if at < letters.len() => letters[at] = letter,
        _ => letters.push(letter),
    }
    letters.into_iter().collect()
}

pub fn bytea(chance: &mut Chance) -> String {
    match chance.below(4) {
        0 => {
            let parts = ["a", "\\\\", "\\000", "\\377", "\\8", "é", "\\1", " ", "'"];
            (0..chance.below(8)).map(|_| *chance.of(&parts)).collect()
        }
        1 => "\\x".to_owned(),
        _ => {
            let length = chance.below(10);
            let hex: String =
                (0..2 * length).map(|_| char::from(*chance.of(b"0123456789abcdefABCDEF"))).collect();
            format!("\\x{hex}")
        }
    }
}

pub fn macaddr(chance: &mut Chance) -> String {
    let hex: Vec<String> = (0..6).map(|_| format!("{:02x}", chance.below(256))).collect();
    match chance.below(8) {
        0 => hex.join(":").to_uppercase(),
        1 => hex.join("-"),
        2 => hex.concat(),
        3 => format!("{}:{}", hex[..3].concat(), hex[3..].concat()),
        4 => format!("{}-{}", hex[..3].concat(), hex[3..].concat()),
        5 => format!("{}.{}.{}", hex[..2].concat(), hex[2..4].concat(), hex[4..].concat()),
        6 => format!("{}-{}-{}", hex[..2].concat(), hex[2..4].concat(), hex[4..].concat()),
        _ => format!(" {:x}:{:x}:1:{}:ff:0 ", chance.below(400), chance.below(16), hex[0]),
    }
}

pub fn network(chance: &mut Chance) -> String {
    const EDGES: [&str; 20] = [
        "10",
        "10.1",
        "192.168.1",
        "224",
        "224.0.0.0",
        "240.1.2.3",
        "0.0.0.0/0",
        "::",
        "::/0",
        "::1",
        "::1.2.3.4",
        "::ffff:1.2.3.4",
        "::ffff:1:2/128",
        "1::",
        "1:0:0:2::3",
        "2001:db8::/32",
        "1.2.3.4/33",
        "1.2.3.4/",
        "10/8",
        "10.1.2.3/8",
    ];
    let byte = |chance: &mut Chance| if chance.one_in(3) { 0 } else { chance.below(258) };
    let word = |chance: &mut Chance| if chance.one_in(2) { 0 } else { chance.below(65536) };
    match chance.below(6) {
        0 => (*chance.of(&EDGES)).to_owned(),
        1 => format!("{}.{}.{}.{}", byte(chance), byte(chance), byte(chance), byte(chance)),
        2 => format!(
            "{}.{}.{}.{}/{}",
            byte(chance),
            byte(chance),
            byte(chance),
            byte(chance),
            chance.below(34)
        ),
        3 => format!("{}.{}/{}", byte(chance), byte(chance), chance.below(33)),
        4 => {
            let words: Vec<String> = (0..8).map(|_| format!("{:x}", word(chance))).collect();
            format!("{}/{}", words.join(":"), chance.below(130))
        }
        _ => {
            let words: Vec<String> = (0..8).map(|_| format!("{:04X}", word(chance))).collect();
            words.join(":")
        }
    }
}

pub fn money(chance: &mut Chance) -> String {
    const EDGES: [&str; 18] = [
        "",
        "$",
        "-",
        "0",
        "-0",
        "(1.5)",
        "-$5",
        "$-5",
        "5-",
        "5$",
        "1,234,567.891",
        "1.995",
        "92233720368547758.07",
        "-92233720368547758.08",
        "92233720368547758.08",
        ".5",
        "5.",
        "1.234-",
    ];
    match chance.below(4) {
        0 => (*chance.of(&EDGES)).to_owned(),
        1 => format!("${}.{:02}", chance.below(1_000_000), chance.below(100)),
        2 => format!("-{}.{}", chance.below(1_000_000_000), chance.below(10_000)),
        _ => format!(" {},{:03} ", chance.below(1000), chance.below(1000)),
    }
}

const UNITS: [&str; 34] = [
    "year",
    "years",
    "y",
    "mon",
    "months",
    "day",
    "days",
    "d",
    "hour",
    "h",
    "min",
    "minutes",
    "m",
    "sec",
    "s",
    "seconds",
    "ms",
    "milliseconds",
    "us",
    "microseconds",
    "week",
    "w",
    "decade",
    "century",
    "millennium",
    "mils",
    "quarter",
    "YEAR",
    "Mons",
    "ago",
    "cent",
    "c",
    "hrs",
    "secs",
];

pub fn interval(chance: &mut Chance) -> String {
    let number = |chance: &mut Chance| match chance.below(8) {
        0 => format!("{}.{}", chance.below(100), chance.below(1000)),
        1 => format!("-{}", chance.below(100)),
        2 => format!("+{}", chance.below(3000)),
        3 => format!("-{}.{:03}", chance.below(10), chance.below(1000)),
        4 => format!("{}", chance.below(3_000_000_000)),
        _ => format!("{}", chance.below(50)),
    };
    match chance.below(12) {
        0..=3 => {
            let parts: Vec<String> =
                (0..=chance.below(3)).map(|_| format!("{} {}", number(chance), chance.of(&UNITS))).collect();
            let end = *chance.of(&["", "", "", " ago", " 01:02:03", " -1:2:3.5"]);
            format!("{}{end}", parts.join(" "))
        }
        4 => format!("{}-{}", chance.range(-20, 20), chance.below(13)),
        5 => {
            format!("{}-{} {} {}", chance.range(-20, 20), chance.below(13), chance.range(-9, 9), time(chance))
        }
        6 => time(chance),
        7 => format!("-{}", time(chance)),
        8 => format!("{} {}", chance.range(-9, 9), time(chance)),
        9 => {
            let mut text = "P".to_owned();
            for unit in ["Y", "M", "W", "D"] {
                if chance.one_in(2) {
                    text.push_str(&format!("{}{unit}", number(chance).replace('+', "")));
                }
            }
            if chance.one_in(2) {
                text.push('T');
                for unit in ["H", "M", "S"] {
                    if chance.one_in(2) {
                        text.push_str(&format!("{}{unit}", number(chance).replace('+', "")));
                    }
                }
            }
            text
        }
        10 => (*chance.of(&[
            "P0001-02-03T04:05:06",
            "P00010203T040506",
            "P1-2",
            "P1",
            "PT10",
            "PT10:30",
            "P1-2-3",
            "PT1.5",
            "0",
            "1",
            "@ 1 minute",
            "1:2",
            "1:2.5",
            "1 2:3",
            "-1 2:3",
            "1 year 2",
            "infinity",
            "178956970 years 7 months",
            "2147483647 days",
            "-2147483648 mons",
            "1 month 1 month",
            "1.5 years",
            "0.999 months",
            "1e3 s",
            "",
            "2562047788:00:54.775807",
            "2562047789:00:00",
            "1 day ago 2 hours",
            "@ 1 day -2 hours ago",
            "-0:00:01",
        ]))
        .to_owned(),
        _ => format!("@ {} {} {} {}", number(chance), chance.of(&UNITS), number(chance), chance.of(&UNITS)),
    }
}

pub fn json(chance: &mut Chance) -> String {
    json_at(chance, 3)
}

fn json_at(chance: &mut Chance, depth: u64) -> String {
    const STRINGS: [&str; 16] = [
        "a",
        "b",
        "aa",
        "B",
        "é",
        "\\n",
        "\\u0041",
        "\\ud83d\\ude00",
        "\\u0000",
        "\\ud800",
        "\\\"",
        "\\/",
        "\\u001f",
        "漢",
        "",
        "\\b\\f\\r\\t\\\\",
    ];
    const NUMBERS: [&str; 16] = [
        "0",
        "-0",
        "1.0",
        "1e2",
        "1.50e-3",
        "-12.5",
        "1E+5",
        "01",
        "1.",
        ".5",
        "123456789012345678901234567890",
        "0.000",
        "-0.0",
        "1e-5",
        "-",
        "+1",
    ];
    let space = *chance.of(&["", "", " ", "\n", "\t "]);
    let string = |chance: &mut Chance| format!("\"{}{}\"", chance.of(&STRINGS), chance.of(&STRINGS));
    let value = match chance.below(if depth == 0 { 5 } else { 9 }) {
        0 => string(chance),
        1 => (*chance.of(&NUMBERS)).to_owned(),
        2 => (*chance.of(&["true", "false", "null", "True"])).to_owned(),
        3 => format!("{}", chance.range(-1000, 1000)),
        4 => format!("\"{}\"", chance.of(&["x", "yy", "zzz", "y"])),
        5 | 6 => {
            let pairs: Vec<String> = (0..chance.below(5))
                .map(|_| format!("{}{space}:{}", string(chance), json_at(chance, depth - 1)))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
        _ => {
            let values: Vec<String> = (0..chance.below(4)).map(|_| json_at(chance, depth - 1)).collect();
            format!("[{}]", values.join(","))
        }
    };
    format!("{space}{value}{space}")
}

/// An array of such values: with quotes where that is needed, and NULL in between.
pub fn array(of: fn(&mut Chance) -> String, chance: &mut Chance) -> String {
    let space = *chance.of(&["", "", "", " ", "\n"]);
    let elements: Vec<String> = (0..chance.below(4))
        .map(|_| {
            let text = of(chance);
            let needs = text.is_empty() || text.contains(['"', '\\', '{', '}', ',', ' ', '\t']);
            match chance.below(8) {
                0 => "NULL".to_owned(),
                1 => "null".to_owned(),
                2..=4 if !needs => text,
                _ => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            }
        })
        .collect();
    format!("{{{space}{}{space}}}", elements.join(&format!("{space},{space}")))
}
