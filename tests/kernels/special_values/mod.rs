//! Forty classes of special values through every operation, on every instruction set.
//!
//! An operation is given one special value among usual numbers, at the first lane of a vector, inside of one, at the first of the
//! next, and alone in the tail. What comes out has the bits of the twin, keeps to rules that know nothing of the twin (a NaN that is
//! read stays, a probability lies between 0 and 1, ...), and is of the kind that the table in `src/kernels/special_values.txt` says.

mod elementwise;
mod layers;
mod losses;
mod rows;
mod updates;

use crate::support::bits::assert_same;
use crate::support::isas::isas;
use selvedge::simd::Isa;
use std::fmt::Write;

/// The classes, in the order of the columns of the table.
const CLASSES: [(&str, f32); 40] = [
    ("NaN", f32::NAN),
    ("NaN with a sign", f32::from_bits(0xffc0_0000)),
    ("signalling NaN", f32::from_bits(0x7f80_0001)),
    ("infinity", f32::INFINITY),
    ("negative infinity", f32::NEG_INFINITY),
    ("zero", 0.0),
    ("negative zero", -0.0),
    ("smallest denormal", f32::from_bits(1)),
    ("its negative", -f32::from_bits(1)),
    ("largest denormal", f32::from_bits(0x007f_ffff)),
    ("its negative", -f32::from_bits(0x007f_ffff)),
    ("smallest normal", f32::MIN_POSITIVE),
    ("its negative", -f32::MIN_POSITIVE),
    ("2^-25, where 1 + x is 1", 2.980_232_2e-8),
    ("its negative", -2.980_232_2e-8),
    ("1/2", 0.5),
    ("-1/2", -0.5),
    ("before 1", 1.0 - f32::EPSILON / 2.0),
    ("1", 1.0),
    ("behind 1", 1.0 + f32::EPSILON),
    ("above -1", f32::EPSILON / 2.0 - 1.0),
    ("-1, where ln(1 + x) ends", -1.0),
    ("below -1", -1.0 - f32::EPSILON),
    ("9.02, where tanh is 1", 9.02),
    ("17.4, where the sigmoid is 1", 17.4),
    ("the last with finite exp", f32::from_bits(0x42b1_7217)),
    ("the first with infinite exp", f32::from_bits(0x42b1_7218)),
    ("-87.33655, where exp is denormal", -87.336_55),
    ("the last with exp above 0", f32::from_bits(0xc2cf_f1b4)),
    ("the first with exp 0", f32::from_bits(0xc2cf_f1b5)),
    ("2^23, no fractions", 8_388_608.0),
    ("2^24, no odd numbers", 16_777_216.0),
    ("2^31, no i32", 2_147_483_648.0),
    ("-2^31", -2_147_483_648.0),
    ("2^32, no u32", 4_294_967_296.0),
    ("the last with finite square", f32::from_bits(0x5f7f_ffff)),
    ("the first with infinite square", f32::from_bits(0x5f80_0000)),
    ("2^127, twice it is infinite", f32::from_bits(0x7f00_0000)),
    ("largest", f32::MAX),
    ("its negative", f32::MIN),
];

/// Elements of a row: two vectors and one element.
const WIDTH: usize = 33;
/// Where the special value stands in a row.
const PLACES: [usize; 4] = [0, 7, 16, 32];

/// What must be true of the outputs that depend on a special value, whatever the twin says.
#[derive(Clone, Copy)]
struct Rule {
    says: &'static str,
    holds: fn(f32, &[f32]) -> bool,
}

const NAN_STAYS: Rule = Rule { says: "NaN stays", holds: |x, y| !x.is_nan() || y.iter().all(|y| y.is_nan()) };
const NAN_IS_MASKED: Rule = Rule { says: "what is masked is 0, NaN too", holds: |_, y| y.iter().all(|&y| y == 0.0) };
const NO_NAN_OF_NUMBERS: Rule = Rule { says: "no NaN of numbers", holds: |x, y| x.is_nan() || !y.iter().any(|y| y.is_nan()) };
const NO_NAN_OF_FINITE: Rule =
    Rule { says: "no NaN of finite numbers", holds: |x, y| !x.is_finite() || !y.iter().any(|y| y.is_nan()) };
const FINITE_STAYS: Rule =
    Rule { says: "finite of finite numbers", holds: |x, y| !x.is_finite() || y.iter().all(|y| y.is_finite()) };
const MODERATE_STAYS: Rule =
    Rule { says: "finite of numbers up to 1e18", holds: |x, y| x.is_nan() || x.abs() > 1e18 || y.iter().all(|y| y.is_finite()) };
const SHARES: Rule = Rule { says: "from 0 to 1", holds: |x, y| x.is_nan() || y.iter().all(|y| (0.0..=1.0).contains(y)) };
const BOUNDED: Rule = Rule { says: "at most 2, of any number", holds: |x, y| x.is_nan() || y.iter().all(|y| y.abs() <= 2.0) };
const SAME: Rule =
    Rule { says: "the number itself", holds: |x, y| y.iter().all(|y| y.to_bits() == x.to_bits() || x.is_nan() && y.is_nan()) };

/// What an operation made of a special value.
struct Seen {
    /// All outputs of the kernel, and those of its twin.
    found: Vec<f32>,
    expected: Vec<f32>,
    /// Which of them depend on the special value.
    reached: Vec<usize>,
}

/// An operation with one operand in which a special value stands.
struct Op {
    name: String,
    rules: Vec<Rule>,
    /// Runs with a special value at a place.
    #[allow(clippy::type_complexity, reason = "a closure")]
    run: Box<dyn Fn(Isa, f32, usize) -> Seen>,
}

impl Op {
    fn new(name: impl Into<String>, rules: &[Rule], run: impl Fn(Isa, f32, usize) -> Seen + 'static) -> Self {
        Self { name: name.into(), rules: rules.to_vec(), run: Box::new(run) }
    }

    /// The kind of what comes out of each class: a line of the table. The worst of all places and outputs counts.
    fn line(&self, isa: Isa) -> Result<String, String> {
        let mut line = String::new();
        for (class, x) in CLASSES {
            let mut outputs = Vec::new();
            for place in PLACES {
                let case = format!("{} of {class} ({x:e}) at {place} on {isa}", self.name);
                let Seen { found, expected, reached } = (self.run)(isa, x, place);
                assert_same(&found, &expected, &case);
                let reached: Vec<f32> = reached.into_iter().map(|i| found[i]).collect();
                if let Some(rule) = self.rules.iter().find(|rule| !(rule.holds)(x, &reached)) {
                    return Err(format!("{case}: {} expected, found {reached:?}", rule.says));
                }
                outputs.extend(reached);
            }
            line.push(kind(&outputs));
        }
        Ok(line)
    }
}

/// One character for what is among the numbers: NaN, infinities, anything but zeros.
fn kind(numbers: &[f32]) -> char {
    let any = |is: fn(&f32) -> bool| numbers.iter().any(is);
    match () {
        () if any(|x| x.is_nan()) => 'N',
        () if any(|x| *x == f32::INFINITY) => '+',
        () if any(|x| *x == f32::NEG_INFINITY) => '-',
        () if any(|x| *x != 0.0) => '.',
        () => '0',
    }
}

/// Usual numbers from -1 to 1, none of them 0 and no two alike in a row.
fn usual(seed: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + seed * 5) % 37) as f32 / 18.5 - 0.99).collect()
}

/// Usual numbers with a special one among them.
fn with(x: f32, place: usize, mut numbers: Vec<f32>) -> Vec<f32> {
    numbers[place] = x;
    numbers
}

fn all_operations() -> Vec<Op> {
    [elementwise::operations(), rows::operations(), losses::operations(), layers::operations(), updates::operations()]
        .into_iter()
        .flatten()
        .collect()
}

/// The table, and what the characters in it stand for.
fn table(lines: &[(String, String)]) -> String {
    let mut text = String::from("N: NaN, +: infinity, -: negative infinity, 0: zero, .: any other number\n\n");
    for (i, (name, value)) in CLASSES.iter().enumerate() {
        let _ = writeln!(text, "{:2}  {value:>13e}  {name}", i + 1);
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let digits = |digit: fn(usize) -> usize| (1..=CLASSES.len()).map(|n| digit(n).to_string()).collect::<String>();
    let _ = write!(text, "\n{:width$}  {}\n{:width$}  {}\n", "", digits(|n| n / 10), "", digits(|n| n % 10));
    for (name, line) in lines {
        let _ = writeln!(text, "{name:width$}  {line}");
    }
    text
}

#[test]
#[allow(clippy::print_stdout, reason = "the table is read by people")]
fn every_class_through_every_operation() {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for op in all_operations() {
        let mut first = None;
        for isa in isas() {
            match op.line(isa) {
                Ok(line) if first.as_ref().is_some_and(|first| *first != line) => {
                    faults.push(format!("{} on {isa}: {line} is not {first:?}", op.name));
                }
                Ok(line) => first = Some(line),
                Err(fault) => faults.push(fault),
            }
        }
        lines.push((op.name, first.unwrap_or_default()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let table = table(&lines);
    println!("{table}");
    let recorded = include_str!("../../../src/kernels/special_values.txt");
    let differs = table.lines().zip(recorded.lines()).find(|(now, then)| now != then);
    assert!(
        table == recorded,
        "src/kernels/special_values.txt is out of date, from {differs:?} on; this test prints the table of now with --nocapture"
    );
}

#[test]
fn operations_have_different_names() {
    let mut names: Vec<String> = all_operations().into_iter().map(|op| op.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// A planted fault: a ReLU as `max(x, 0)`, which is 0 of NaN, in the kernel and in its twin, so that only the rule can see it.
#[test]
fn a_relu_that_swallows_nan_is_seen() {
    let op = Op::new("relu by max", &[NAN_STAYS], |_, x, place| {
        let y: Vec<f32> = with(x, place, usual(1, WIDTH)).into_iter().map(|x| x.max(0.0)).collect();
        Seen { found: y.clone(), expected: y, reached: vec![place] }
    });
    let fault = op.line(Isa::PORTABLE).expect_err("a fault");
    assert_eq!(fault, "relu by max of NaN (NaN) at 0 on portable: NaN stays expected, found [0.0]");
}
