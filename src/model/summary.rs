//! [`Summary`]: the table of a model's layers.

use std::fmt;

/// The table of a model's layers, output shapes and parameter counts; displayed as Keras prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    name: String,
    rows: Vec<Row>,
}

/// One layer of a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) output_shape: Vec<usize>,
    pub(super) trainable: usize,
    pub(super) non_trainable: usize,
}

impl Row {
    fn parameters(&self) -> usize {
        self.trainable + self.non_trainable
    }
}

impl Summary {
    pub(super) fn new(name: String, rows: Vec<Row>) -> Self {
        Self { name, rows }
    }

    /// The number of parameters of each layer.
    pub fn parameter_counts(&self) -> Vec<usize> {
        self.rows.iter().map(Row::parameters).collect()
    }

    /// The number of all parameters.
    pub fn total(&self) -> usize {
        self.trainable() + self.non_trainable()
    }

    /// The number of parameters that an optimizer changes.
    pub fn trainable(&self) -> usize {
        self.rows.iter().map(|row| row.trainable).sum()
    }

    /// The number of parameters that follow the data: the moving statistics of batch normalizations.
    pub fn non_trainable(&self) -> usize {
        self.rows.iter().map(|row| row.non_trainable).sum()
    }
}

/// Widths between the lines of the table, margins of one space included; Keras' for a terminal of 80 columns.
const WIDTHS: [usize; 3] = [33, 24, 15];

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A long name or shape makes its column wider rather than being cut.
        let cells: Vec<[String; 3]> = self
            .rows
            .iter()
            .map(|row| {
                let shape: String = row.output_shape.iter().map(|n| format!(", {n}")).collect();
                [format!("{} ({})", row.name, row.class), format!("(None{shape})"), thousands(row.parameters())]
            })
            .collect();
        let widths: [usize; 3] =
            std::array::from_fn(|i| cells.iter().map(|cells| cells[i].chars().count() + 2).fold(WIDTHS[i], usize::max));
        let line = |f: &mut fmt::Formatter<'_>, [left, dash, between, right]: [char; 4]| {
            let dashes: [String; 3] = widths.map(|width| std::iter::repeat_n(dash, width).collect());
            writeln!(f, "{left}{}{between}{}{between}{}{right}", dashes[0], dashes[1], dashes[2])
        };
        let [name, shape, count] = widths.map(|width| width - 2);
        writeln!(f, "Model: \"{}\"", self.name)?;
        line(f, ['┏', '━', '┳', '┓'])?;
        writeln!(f, "┃ {:<name$} ┃ {:<shape$} ┃ {:>count$} ┃", "Layer (type)", "Output Shape", "Param #")?;
        line(f, ['┡', '━', '╇', '┩'])?;
        for (i, cells) in cells.iter().enumerate() {
            if i > 0 {
                line(f, ['├', '─', '┼', '┤'])?;
            }
            writeln!(f, "│ {:<name$} │ {:<shape$} │ {:>count$} │", cells[0], cells[1], cells[2])?;
        }
        line(f, ['└', '─', '┴', '┘'])?;
        writeln!(f, " Total params: {} ({})", thousands(self.total()), memory(self.total()))?;
        writeln!(f, " Trainable params: {} ({})", thousands(self.trainable()), memory(self.trainable()))?;
        write!(f, " Non-trainable params: {} ({})", thousands(self.non_trainable()), memory(self.non_trainable()))
    }
}

/// A number with a comma after every three digits.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The memory of that many `f32`.
fn memory(parameters: usize) -> String {
    let mut size = parameters as f64 * 4.0;
    let mut units = ["B", "KB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.2} {unit}")
}
