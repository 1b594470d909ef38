//! The report as a picture: bars of ratios to the host.

use super::display::ratio;
use super::report::Report;
use super::side::Side;

/// The rows that are drawn.
const ROWS: [(&str, &str); 6] = [
    ("clock_monotonic", "MONOTONIC, hot"),
    ("clock_monotonic_coarse", "MONOTONIC_COARSE, hot"),
    ("first_monotonic", "MONOTONIC, first read of an exec"),
    ("unlisted_call", "a call that carries no time"),
    ("exec", "exec of a static program"),
    ("exec_dynamic", "exec of a dynamic program"),
];

/// The worlds, and their colours, which stand out on white and on black.
const SIDES: [(Side, &str, &str); 5] = [
    (Side::Inside, "elsewhen", "#1f8f5f"),
    (Side::Kernel, "kernel's time namespace", "#4a7fc1"),
    (Side::Crowded, "host, 100 namespaces running", "#8a8f98"),
    (Side::Libfaketime, "libfaketime", "#c9853a"),
    (Side::SystemCall, "system call", "#b1556b"),
];

/// The width of the picture and the place of the bars in it, in pixels; the longest bar stands for
/// `LONGEST` times the host.
const WIDTH: u32 = 720;
const LEFT: u32 = 220;
const SPAN: f64 = 420.0;
const LONGEST: f64 = 2.0;
const BAR: u32 = 11;
const GAP: u32 = 16;
const TOP: u32 = 64;

impl Report {
    /// The picture.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let mut body = String::new();
        let mut y = TOP;
        for (row, title) in ROWS {
            let bars: Vec<_> = SIDES
                .iter()
                .filter_map(|(side, name, colour)| {
                    let times = self.cell(row, side.name())?.ratio?;
                    Some((*name, *colour, times))
                })
                .collect();
            body += &text(LEFT - 10, y + BAR - 1, "end", title);
            for (name, colour, times) in bars {
                body += &bar(y, name, colour, times);
                y += BAR + 2;
            }
            y += GAP;
        }
        let height = y + 14;
        let mut svg = head(height, &self.place());
        svg += &text(
            10,
            16,
            "start",
            "Time taken, in that of the same on the host (shorter is better)",
        );
        svg += &legend();
        svg += &host_line(y);
        svg += &body;
        svg += &text(10, height - 6, "start", &escaped(&self.place()));
        svg + "</svg>\n"
    }
}

fn head(height: u32, place: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>What elsewhen costs: {}</title>\n\
         <style>text{{font:11px system-ui,sans-serif;fill:#6e7681}}\
         @media(prefers-color-scheme:dark){{text{{fill:#9198a1}}}}</style>\n",
        escaped(place)
    )
}

fn text(x: u32, y: u32, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{words}</text>\n")
}

/// One bar and its number; what is too long fades out.
fn bar(y: u32, name: &str, colour: &str, times: f64) -> String {
    let width = SPAN * times.min(LONGEST) / LONGEST;
    let end = f64::from(LEFT) + width;
    let mark = if times > LONGEST { "» " } else { "" };
    format!(
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\">\
         <title>{name}</title></rect>\
         <text x=\"{:.1}\" y=\"{}\">{mark}{}</text>\n",
        end + 5.0,
        y + BAR - 1,
        ratio(times).replace('x', "×"),
    )
}

/// The host's own time.
fn host_line(bottom: u32) -> String {
    let x = f64::from(LEFT) + SPAN / LONGEST;
    format!(
        "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{}\" stroke=\"#8a8f98\" \
         stroke-dasharray=\"3 3\"/>\n<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">host</text>\n",
        TOP - 6,
        bottom - GAP + 4,
        TOP - 10,
    )
}

fn legend() -> String {
    let mut svg = String::new();
    let mut x = 10;
    for (_, name, colour) in SIDES {
        svg +=
            &format!("<rect x=\"{x}\" y=\"27\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n");
        svg += &text(x + 14, 36, "start", name);
        x += 34 + 6 * u32::try_from(name.len()).unwrap_or(20);
    }
    svg
}

fn escaped(words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    words.replace('>', "&gt;")
}
