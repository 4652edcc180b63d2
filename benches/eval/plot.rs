//! Pictures of what was measured: SVG, by hand, the same for the same numbers.

use std::fmt::Write as _;

const INK: &str = "#222";
const FAINT: &str = "#d8d8d8";
const COLOURS: [&str; 6] = ["#0b6e4f", "#c8553d", "#33658a", "#8d6b94", "#b08900", "#555"];

/// One picture.
struct Picture {
    text: String,
}

impl Picture {
    fn new(width: u32, height: u32, title: &str) -> Picture {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">"
        );
        let _ = writeln!(text, "<title>{title}</title>");
        let _ = writeln!(text, "<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>");
        let mut picture = Picture { text };
        picture.words(12.0, 20.0, "start", INK, title);
        picture
    }

    fn words(&mut self, x: f64, y: f64, anchor: &str, colour: &str, words: &str) {
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{words}</text>"
        );
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let _ = writeln!(
            self.text,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn path(&mut self, points: &[(f64, f64)], colour: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
    }

    fn dot(&mut self, at: (f64, f64), colour: &str, is_full: bool) {
        let fill = if is_full { colour } else { "#fff" };
        let _ = writeln!(
            self.text,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
            at.0, at.1
        );
    }

    fn bar(&mut self, at: (f64, f64), size: (f64, f64), colour: &str) {
        let _ = writeln!(
            self.text,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            at.0, at.1, size.0, size.1
        );
    }

    fn end(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// A curve of one judge: false alerts a day, and the share of attacks that it finds then.
pub struct Curve {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

const RATES: (f64, f64) = (0.03, 10.0);

/// How much is found, by how often nothing was there to find.
#[must_use]
pub fn found(curves: &[Curve]) -> String {
    let mut picture = Picture::new(
        720,
        400,
        "Share of attacks found (all kinds alike), by false alerts a day of 200 users",
    );
    let (left, right, top, bottom) = (50.0, 540.0, 40.0, 350.0);
    let x = |rate: f64| left + (right - left) * (rate / RATES.0).ln() / (RATES.1 / RATES.0).ln();
    let y = |share: f64| bottom - (bottom - top) * share;
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        picture.line((left, at), (right, at), FAINT);
        picture.words(left - 6.0, at + 4.0, "end", INK, &format!("{percent} %"));
    }
    for rate in [0.1, 0.3, 1.0, 3.0, 10.0] {
        picture.line((x(rate), top), (x(rate), bottom), FAINT);
        picture.words(x(rate), bottom + 18.0, "middle", INK, &format!("{rate}"));
    }
    picture.words((left + right) / 2.0, bottom + 38.0, "middle", INK, "false alerts a day, days 22 to 50");
    for (n, (curve, colour)) in curves.iter().zip(COLOURS).enumerate() {
        let points: Vec<(f64, f64)> =
            curve.points.iter().map(|(rate, share)| (x(*rate), y(*share))).collect();
        picture.path(&points, colour);
        let at = top + 20.0 * n as f64 + 10.0;
        picture.line((right + 14.0, at - 4.0), (right + 36.0, at - 4.0), colour);
        picture.words(right + 42.0, at, "start", INK, curve.name);
    }
    picture.end()
}

/// Subjects that each attack gets: without anybody who looks, and until it is cut.
pub struct Leak {
    pub name: String,
    pub all: f64,
    pub by_cap: f64,
    pub by_cut: f64,
}

#[must_use]
pub fn leaks(leaks: &[Leak]) -> String {
    let height = 80 + 20 * leaks.len() as u32;
    let mut picture =
        Picture::new(720, height, "Data subjects that an attack meets, in the median of its seeds");
    let (left, right, top) = (220.0, 700.0, 58.0);
    let bottom = top + 20.0 * leaks.len() as f64;
    let x = |count: f64| left + (right - left) * (count.max(1.0)).log10() / 6.0;
    for decade in 0..=6 {
        let count = 10_f64.powi(decade);
        picture.line((x(count), top - 6.0), (x(count), bottom - 6.0), FAINT);
        picture.words(x(count), bottom + 10.0, "middle", INK, &format!("{count}"));
    }
    let legend = [
        (COLOURS[1], false, "without a watch"),
        (COLOURS[2], false, "until a cap"),
        (COLOURS[0], true, "until the cut"),
    ];
    for (n, (colour, is_full, words)) in legend.into_iter().enumerate() {
        let at = left + 130.0 * n as f64;
        picture.dot((at, 38.0), colour, is_full);
        picture.words(at + 10.0, 42.0, "start", INK, words);
    }
    for (n, leak) in leaks.iter().enumerate() {
        let at = top + 20.0 * n as f64 + 4.0;
        picture.words(left - 10.0, at + 4.0, "end", INK, &leak.name);
        picture.line((x(leak.by_cut), at), (x(leak.all), at), FAINT);
        picture.dot((x(leak.all), at), COLOURS[1], false);
        picture.dot((x(leak.by_cap), at), COLOURS[2], false);
        picture.dot((x(leak.by_cut), at), COLOURS[0], true);
    }
    picture.end()
}

/// Alerts without any attack, by day.
#[must_use]
pub fn days(alerts: &[u64], first: u64, events: &[(u64, &str)]) -> String {
    let mut picture = Picture::new(720, 260, "Alerts where nothing was, by day: bound for one a day");
    let (left, right, top, bottom) = (40.0, 700.0, 90.0, 220.0);
    let most = alerts.iter().copied().max().unwrap_or(1).max(4) as f64;
    let width = (right - left) / alerts.len().max(1) as f64;
    for count in 0..=most as u64 {
        let at = bottom - (bottom - top) * count as f64 / most;
        picture.line((left, at), (right, at), FAINT);
        if most <= 10.0 || count.is_multiple_of(5) {
            picture.words(left - 6.0, at + 4.0, "end", INK, &count.to_string());
        }
    }
    for (n, count) in alerts.iter().enumerate() {
        let at = left + width * n as f64;
        let height = (bottom - top) * *count as f64 / most;
        picture.bar((at + 2.0, bottom - height), (width - 4.0, height), COLOURS[0]);
        let day = first + n as u64;
        if day.is_multiple_of(5) {
            picture.words(at + width / 2.0, bottom + 18.0, "middle", INK, &day.to_string());
        }
    }
    for (n, (day, words)) in events.iter().enumerate() {
        let at = left + width * (*day as f64 - first as f64 + 0.5);
        let high = 46.0 + 14.0 * (n % 3) as f64;
        picture.line((at, high + 4.0), (at, bottom), COLOURS[1]);
        picture.words(at, high, "middle", COLOURS[1], words);
    }
    picture.end()
}
