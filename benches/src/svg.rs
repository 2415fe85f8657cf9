//! A chart of bars as SVG. Our own: a chart crate would bring fonts and backends for fifty lines of text.

/// One colour of bars.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) color: &'static str,
}

/// A group of bars: its label, and a ratio for each series.
pub(crate) struct Group {
    pub(crate) label: String,
    pub(crate) ratios: Vec<Option<f64>>,
}

const LEFT: f64 = 110.0;
const WIDTH: f64 = 640.0;
const BAR: f64 = 9.0;
const GAP: f64 = 8.0;
const TOP: f64 = 62.0;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Ratios on a logarithmic axis, as bars that start at 1.
pub(crate) fn ratios(title: &str, series: &[Series], groups: &[Group]) -> String {
    let all = groups.iter().flat_map(|g| g.ratios.iter().flatten()).filter(|r| r.is_finite() && **r > 0.0);
    let (low, high) = all.fold((0.5f64, 2.0f64), |(low, high), &r| (low.min(r), high.max(r)));
    let (low, high) = (low.log2().floor(), high.log2().ceil());
    let x = |ratio: f64| LEFT + (ratio.log2() - low) / (high - low) * WIDTH;
    let height = |group: &Group| group.ratios.len() as f64 * BAR + GAP;
    let bottom = TOP + groups.iter().map(height).sum::<f64>();

    let mut out = String::new();
    let (w, h) = (LEFT + WIDTH + 40.0, bottom + 24.0);
    let mut put = |line: String| {
        out += &line;
        out.push('\n');
    };
    put(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
         font-family=\"sans-serif\" font-size=\"11\">"
    ));
    put("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>".to_owned());
    put(format!("<text x=\"{LEFT}\" y=\"20\" font-size=\"14\" fill=\"#222222\">{}</text>", escape(title)));
    for (i, s) in series.iter().enumerate() {
        let at = LEFT + i as f64 * 150.0;
        put(format!("<rect x=\"{at}\" y=\"32\" width=\"10\" height=\"10\" fill=\"{}\"/>", s.color));
        put(format!("<text x=\"{}\" y=\"41\" fill=\"#222222\">{}</text>", at + 14.0, escape(&s.name)));
    }
    for exponent in low as i32..=high as i32 {
        let (at, value) = (x(2f64.powi(exponent)), 2f64.powi(exponent));
        let color = if exponent == 0 { "#222222" } else { "#dddddd" };
        put(format!("<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"{color}\"/>"));
        let label = if exponent < 0 { format!("1/{}", 1 << -exponent) } else { format!("{value}") };
        put(format!(
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222222\">{label}</text>",
            bottom + 14.0
        ));
    }
    let mut y = TOP;
    for group in groups {
        let middle = y + group.ratios.len() as f64 * BAR / 2.0 + 4.0;
        let label = escape(&group.label);
        put(format!(
            "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\" fill=\"#222222\">{label}</text>",
            LEFT - 8.0
        ));
        for (ratio, s) in group.ratios.iter().zip(series) {
            if let Some(ratio) = ratio.filter(|r| r.is_finite() && *r > 0.0) {
                let (from, to) = (x(ratio.min(1.0)), x(ratio.max(1.0)));
                put(format!(
                    "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\">\
                     <title>{label}, {}: {ratio:.2}</title></rect>",
                    (to - from).max(0.5),
                    BAR - 1.0,
                    s.color,
                    escape(&s.name)
                ));
            }
            y += BAR;
        }
        y += GAP;
    }
    put("</svg>".to_owned());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_start_at_one_and_text_is_escaped() {
        let series = [Series { name: "a<b".to_owned(), color: "#123456" }];
        let group = |label: &str, r| Group { label: label.to_owned(), ratios: vec![r] };
        let svg = ratios("x & y", &series, &[group("two", Some(2.0)), group("half", Some(0.5)), group("none", None)]);
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("x &amp; y") && svg.contains("a&lt;b") && !svg.contains("a<b"));
        // The axis goes from 1/2 to 2: the bars are its halves.
        let half = WIDTH / 2.0;
        assert!(svg.contains(&format!("x=\"{:.1}\" y=\"{TOP:.1}\" width=\"{half:.1}\"", LEFT + half)));
        assert!(svg.contains(&format!("x=\"{LEFT:.1}\" y=\"{:.1}\" width=\"{half:.1}\"", TOP + BAR + GAP)));
        assert_eq!(svg.matches("<title>").count(), 2);
    }
}
