//! How sure is the model? Monte Carlo dropout asks it a hundred times.
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use selvedge::data::fashion_mnist::CLASS_NAMES;
use selvedge::data::synthetic;
use selvedge::model::{Activation, Compile, Dense, Dropout, Fit, Flatten, Nadam, ProgressBar, Sequential};
use selvedge::pictures::{BarChart, BarGroup, SheetImage, bar_chart, image_sheet};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or("course_output".into()));
    std::fs::create_dir_all(&folder)?;
    let (training, test) = (synthetic::garments(1500, 3), synthetic::garments(500, 4));

    let network = Sequential::new(&[28, 28])
        .add(Flatten)
        .add(Dropout::new(0.2))
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dropout::new(0.4))
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dropout::new(0.4))
        .add(Dense::new(10).activation(Activation::Softmax));
    let mut model = network.compile(Compile::new(Nadam::default()).seed(12))?;
    model.fit(&training, &Fit::new().epochs(15), &mut [&mut ProgressBar::new().transient()])?;

    // Without dropout there is one answer. With it there are as many as passes: their mean is the prediction, their spread the
    // doubt.
    let plain = model.predict(&test)?;
    let monte_carlo = model.predict_monte_carlo(&test, 100, 12)?;
    let (mean, deviation, doubt) = (monte_carlo.mean(), monte_carlo.deviation(), monte_carlo.mutual_information());
    let right = |classes: &[u32], row: usize| classes[row] == u32::from(test.label(row));
    let accuracy =
        |classes: &[u32], rows: &[usize]| rows.iter().filter(|&&row| right(classes, row)).count() as f64 / rows.len() as f64;
    let mut rows: Vec<usize> = (0..test.len()).collect();
    rows.sort_by(|&a, &b| doubt[b].total_cmp(&doubt[a]));
    println!("accuracy of one pass without dropout: {:.3}", accuracy(&plain.classes(), &rows));
    println!("accuracy of the mean of 100 passes:   {:.3}", accuracy(&mean.classes(), &rows));
    println!("the tenth of the garments with most doubt: {:.3}", accuracy(&mean.classes(), &rows[..50]));
    println!("the half with least doubt:                 {:.3}", accuracy(&mean.classes(), &rows[250..]));

    // The garment with most doubt, class by class.
    let row = rows[0];
    println!(
        "\ngarment {row} is a {}\n{:<12} {:>13} {:>9} {:>11}",
        CLASS_NAMES[usize::from(test.label(row))],
        "class",
        "no dropout",
        "mean",
        "deviation"
    );
    let values = |row: &[f32]| -> Vec<f64> { row.iter().map(|&value| f64::from(value)).collect() };
    let (once, mean_row, spread) =
        (values(plain.matrix().row(row)), values(mean.matrix().row(row)), values(deviation.matrix().row(row)));
    for (class, name) in CLASS_NAMES.iter().enumerate() {
        println!("{name:<12} {:13.3} {:9.3} {:11.3}", once[class], mean_row[class], spread[class]);
    }
    let groups = [
        BarGroup { name: "without dropout", values: &once },
        BarGroup { name: "mean of 100 passes", values: &mean_row },
        BarGroup { name: "their standard deviation", values: &spread },
    ];
    let title = format!("The model doubts garment {row}, which is of class {}", CLASS_NAMES[usize::from(test.label(row))]);
    let chart = BarChart { title: &title, value_label: "probability", names: &CLASS_NAMES, groups: &groups, digits: 2 };
    bar_chart(folder.join("12_one_garment.png"), &chart)?;

    let classes = mean.classes();
    let images: Vec<SheetImage<'_>> = (rows.iter().take(24))
        .map(|&row| {
            let class = classes[row] as usize;
            let (p, spread) = (mean.matrix().row(row)[class], deviation.matrix().row(row)[class]);
            let truth = CLASS_NAMES[usize::from(test.label(row))];
            let caption = format!("{} {p:.2} ± {spread:.2}\ntrue: {truth}", CLASS_NAMES[class]);
            SheetImage { pixels: test.row(row), width: 28, height: 28, caption }
        })
        .collect();
    image_sheet(folder.join("12_most_doubt.png"), &images, 6)?;
    Ok(())
}
