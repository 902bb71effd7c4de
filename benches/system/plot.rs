//! The results as an SVG plot.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::{
    parts::STAGES,
    report::{OfSize, Results},
};

/// Draws a panel for each section measured.
pub(crate) fn draw(results: &Results, file: &Path) {
    if let Err(error) = panels(results, file) {
        eprintln!("the plot could not be drawn: {error}");
    }
}

fn panels(results: &Results, file: &Path) -> Result<(), Box<dyn Error>> {
    let has_rates = results.parts.is_some() || !results.pipeline.is_empty() || results.embedded.is_some();
    let all: [(bool, Draw); 3] =
        [(has_rates, rates), (!results.latency.is_empty(), latencies), (!results.growth.is_empty(), costs)];
    let wanted: Vec<Draw> =
        all.into_iter().filter(|(has_figures, _)| *has_figures).map(|(_, draw)| draw).collect();
    let root = SVGBackend::new(file, (400 * u32::try_from(wanted.len())?, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    for (draw, panel) in wanted.iter().zip(root.split_evenly((1, wanted.len()))) {
        draw(results, &panel)?;
    }
    root.present()?;
    Ok(())
}

type Draw = fn(&Results, &Panel) -> Result<(), Box<dyn Error>>;

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Bars of applications a second.
#[expect(clippy::cast_precision_loss, reason = "a plot")]
fn rates(results: &Results, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let mut bars: Vec<(String, f64)> = Vec::new();
    if let Some((count, spent)) = &results.parts {
        let parts = [
            ("messages", spent.messages),
            ("rows", spent.rows),
            ("documents", spent.documents),
            ("mails", spent.mails),
        ];
        bars.extend(parts.map(|(name, seconds)| (name.to_owned(), *count as f64 / seconds)));
    }
    bars.extend(results.pipeline.iter().map(|run| {
        (format!("{} worker{}", run.workers, if run.workers == 1 { "" } else { "s" }), run.per_second)
    }));
    bars.extend(results.embedded.iter().map(|embedded| ("embedded".to_owned(), embedded.per_second)));
    let top = bars.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    bars.reverse();
    let mut chart = ChartBuilder::on(panel)
        .caption("applications a second", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..top * 1.1, (0..bars.len().max(2) - 1).into_segmented())?;
    let label = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(at) => bars.get(*at).map(|(name, _)| name.clone()).unwrap_or_default(),
        _ => String::new(),
    };
    let rate = |rate: &f64| format!("{rate:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.disable_y_mesh()
        .y_labels(bars.len() + 1)
        .y_label_formatter(&label)
        .x_labels(6)
        .x_label_formatter(&rate)
        .draw()?;
    chart.draw_series(bars.iter().enumerate().map(|(at, (_, rate))| {
        let corners = [(0.0, SegmentValue::Exact(at)), (*rate, SegmentValue::Exact(at + 1))];
        let mut bar = Rectangle::new(corners, RGBColor(52, 101, 164).filled());
        bar.set_margin(4, 4, 0, 0);
        bar
    }))?;
    Ok(())
}

/// p95 of each stage and in total, by load.
fn latencies(results: &Results, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let top = results.latency.iter().map(|latency| latency.stages["whole"][1]).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .caption("p95 by load, ms", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..1.0, 0.0..top * 1.1)?;
    chart
        .configure_mesh()
        .max_light_lines(2)
        .x_label_formatter(&|load| format!("{:.0} %", 100.0 * load))
        .draw()?;
    for (place, stage) in STAGES.iter().chain(&["whole"]).enumerate() {
        let colour = Palette99::pick(place).to_rgba();
        let points = results.latency.iter().map(|latency| (latency.load, latency.stages[stage][1]));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(*stage)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

/// Processor time an application by size of the run and of the database.
#[expect(clippy::cast_precision_loss, reason = "a plot")]
fn costs(results: &Results, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let point = |size: &OfSize| (size.applications as f64, size.cost());
    let sizes = results.by_size();
    let (first, last) = sizes
        .iter()
        .map(|size| point(size).0)
        .fold((f64::MAX, 1.0_f64), |(first, last), at| (first.min(at), last.max(at)));
    let top = sizes.iter().map(OfSize::cost).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .caption("processor ms an application, by applications in a run", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((first / 2.0..last * 2.0).log_scale(), 0.0..top * 1.2)?;
    let powers_of_ten = |size: &f64| {
        if (size.log10() - size.log10().round()).abs() < 1e-6 { format!("{size:.0}") } else { String::new() }
    };
    chart.configure_mesh().disable_x_mesh().max_light_lines(2).x_label_formatter(&powers_of_ten).draw()?;
    for (is_among_many, label, colour) in
        [(false, "among few", RGBColor(52, 101, 164)), (true, "among many", RGBColor(164, 0, 0))]
    {
        let points: Vec<(f64, f64)> =
            sizes.iter().filter(|size| size.is_among_many == is_among_many).map(point).collect();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}
