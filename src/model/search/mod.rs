//! Which hyper-parameters? Grid and randomized search with cross-validation.
//!
//! | question | answer |
//! |---|---|
//! | What is tried? | [`Candidate`]s of a [`Space`]: all of a grid, or as many as you like at random |
//! | On which rows? | [`KFold`], [`StratifiedKFold`], or one [`Fold`] |
//! | How is a candidate trained and scored? | [`Training`] with a closure that builds the model, or an objective of your own |
//! | Who runs it? | [`Search`]: on several threads, in several runs, on several machines |
//! | What came of it? | [`SearchResults`], a table; [`Training::refit`] trains the best on all rows |
//!
//! A candidate with the scores `s_1, ..., s_k` of `k` folds is ranked by `mean = (s_1 + ... + s_k) / k`, the larger the better, and
//! `std = sqrt(((s_1 - mean)^2 + ... + (s_k - mean)^2) / k)` says how far that can be trusted: candidates whose means differ by much less than that are as
//! good as each other.
//!
//! Randomized search usually beats a grid of as many trials: of the parameters only a few matter, and for each of those a grid tries but a
//! handful of values (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization").
//!
//! Everything is a function of seeds: trial 17 tries the same candidate on the same rows on every machine, whatever ran before and however many threads
//! there are.
//!
//! ```
//! use selvedge::data::friedman;
//! use selvedge::model::callbacks::EarlyStopping;
//! use selvedge::model::search::{Candidate, KFold, Search, SearchError, Space, Training};
//! use selvedge::model::{Activation, Compile, Dense, Examples, Fit, Loss, Model, Sequential, Sgd};
//!
//! let data = friedman::regression(60, 3, 1.0, 42);
//! let examples = Examples::new().input(data.inputs()).targets(data.targets());
//!
//! let build = |candidate: &Candidate, threads: usize| -> Result<Model, SearchError> {
//!     let mut network = Sequential::new(&[8]);
//!     for _ in 0..candidate.count("n_hidden")? {
//!         network = network.add(Dense::new(candidate.count("n_neurons")?).activation(Activation::Relu));
//!     }
//!     let optimizer = Sgd { learning_rate: candidate.real("learning_rate")? as f32, ..Sgd::default() };
//!     Ok(network.add(Dense::new(1)).compile(Compile::new(optimizer).loss(Loss::MeanSquaredError).threads(threads))?)
//! };
//! let training = Training::new(build)
//!     .fit(|_| Ok(Fit::new().epochs(10)))
//!     .early_stopping(EarlyStopping::new().patience(3).restore_best_weights());
//!
//! let candidates = Space::new()
//!     .integer("n_hidden", 0..=2)
//!     .log_integer("n_neurons", 4..=32)
//!     .log_uniform("learning_rate", 3e-4, 3e-2)
//!     .random(4, 42)?;
//! let results = Search::new(candidates, KFold::new(3).shuffle(42).split(60)?)?.threads(2).run(training.objective(&examples))?;
//! println!("{results}");
//! if let Some(best) = results.best() {
//!     let (mut model, _) = training.refit(&examples, best, 2)?;
//!     let _ = model.predict(examples)?;
//! }
//! # Ok::<(), SearchError>(())
//! ```

mod candidate;
mod error;
mod folds;
#[cfg(feature = "search-json")]
mod lines;
mod results;
mod run;
mod space;
mod training;
mod trial;

pub use candidate::{Candidate, Value};
pub use error::SearchError;
pub use folds::{Fold, KFold, StratifiedKFold};
pub use results::{RankedTrial, SearchResults};
pub use run::{Search, Split};
pub use space::{MAX_GRID, Space};
pub use training::{Scorer, Training};
pub use trial::{FoldScore, Score, Trial};
