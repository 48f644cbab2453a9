//! What a benchmark leaves for `docs/performance.md`: tables, raw figures and pictures, in `target/bench`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Writes a file to `target/bench`.
pub(crate) fn save(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), text).expect("room");
}

/// Raw figures, comma-separated.
pub(crate) struct Csv {
    name: &'static str,
    text: String,
}

impl Csv {
    pub(crate) fn new(name: &'static str, head: &str) -> Self {
        Self { name, text: format!("{head}\n") }
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        let quoted = |cell: &String| if cell.contains(',') { format!("\"{cell}\"") } else { cell.clone() };
        writeln!(self.text, "{}", cells.iter().map(quoted).collect::<Vec<_>>().join(",")).expect("memory");
    }

    pub(crate) fn save(&self) {
        save(&format!("{}.csv", self.name), &self.text);
    }
}

/// A picture of lines over evenly spaced values.
pub(crate) struct Chart {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What the values of the axes are, with their units.
    pub(crate) axes: [&'static str; 2],
    pub(crate) values: Vec<String>,
    /// A name, and a point for each value.
    pub(crate) lines: Vec<(String, Vec<f64>)>,
    /// A horizontal line, such as a goal.
    pub(crate) goal: Option<f64>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 380.0;
/// Room around the plot.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 90.0;
const BOTTOM: f64 = 52.0;
/// Of Okabe and Ito, distinguishable with colour blindness; on light and dark backgrounds.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

impl Chart {
    pub(crate) fn save(&self) {
        save(&format!("{}.svg", self.name), &self.svg());
    }

    fn svg(&self) -> String {
        let points = self.lines.iter().flat_map(|(_, points)| points).copied();
        let top = nice_above(points.chain(self.goal).fold(0.0, f64::max));
        let x = |at: usize| LEFT + (WIDTH - LEFT - RIGHT) * (float(at) + 0.5) / float(self.values.len());
        let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<title>{0}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            self.title
        );
        text(&mut svg, [LEFT, 20.0], "start", self.title);
        text(&mut svg, [LEFT, HEIGHT - 12.0], "start", self.axes[0]);
        text(&mut svg, [LEFT - 60.0, TOP - 10.0], "start", self.axes[1]);
        for step in 0..=4 {
            let value = top * float(step) / 4.0;
            line(&mut svg, &[[LEFT, y(value)], [WIDTH - RIGHT, y(value)]], "#ccc", "");
            text(&mut svg, [LEFT - 8.0, y(value) + 4.0], "end", &short(value));
        }
        for (at, value) in self.values.iter().enumerate() {
            text(&mut svg, [x(at), HEIGHT - BOTTOM + 18.0], "middle", value);
        }
        if let Some(goal) = self.goal {
            line(&mut svg, &[[LEFT, y(goal)], [WIDTH - RIGHT, y(goal)]], "#555", "4 4");
        }
        for (number, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let dashes = if number < 3 { "" } else { "6 3" };
            let points: Vec<[f64; 2]> =
                points.iter().enumerate().map(|(at, point)| [x(at), y(*point)]).collect();
            line(&mut svg, &points, colour, dashes);
            for [x, y] in points {
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")
                    .expect("memory");
            }
            let key = [LEFT + 280.0 * float(number % 2) + 24.0, 38.0 + 14.0 * float(number / 2)];
            line(&mut svg, &[[key[0] - 24.0, key[1] - 4.0], [key[0] - 6.0, key[1] - 4.0]], colour, dashes);
            text(&mut svg, key, "start", name);
        }
        svg + "</svg>\n"
    }
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>").expect("memory");
}

fn line(svg: &mut String, points: &[[f64; 2]], colour: &str, dashes: &str) {
    let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
    writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" \
         stroke-dasharray=\"{dashes}\"/>",
        points.join(" ")
    )
    .expect("memory");
}

/// The next of 1, 2, 4, 6, 8 times a power of ten, so that quarters are short.
fn nice_above(most: f64) -> f64 {
    let power = 10_f64.powf(most.max(1e-9).log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|top| *top >= most)
        .unwrap_or(most)
}

fn short(value: f64) -> String {
    let digits = format!("{value:.3}");
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("few"))
}
