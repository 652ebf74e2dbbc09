//! Searches that train.

use selvedge::data::{friedman, synthetic};
use selvedge::kernels::MatRef;
use selvedge::kernels::gather::Scaling;
use selvedge::model::callbacks::EarlyStopping;
use selvedge::model::search::{
    Candidate, KFold, RankedTrial, Scorer, Search, SearchError, SearchResults, Space, Split, StratifiedKFold, Training,
};
use selvedge::model::{
    Activation, Compile, Dense, Examples, Fit, Flatten, Loss, Model, ModelError, Sequential, Sgd, ValidationSplit,
};

fn sgd(candidate: &Candidate) -> Result<Sgd, SearchError> {
    Ok(Sgd { learning_rate: candidate.real("learning_rate")? as f32, momentum: 0.9, nesterov: false })
}

fn regression_model(candidate: &Candidate, threads: usize) -> Result<Model, SearchError> {
    let mut network = Sequential::new(&[8]);
    for _ in 0..candidate.count("n_hidden")? {
        network = network.add(Dense::new(candidate.count("n_neurons")?).activation(Activation::Relu));
    }
    let settings = Compile::new(sgd(candidate)?).loss(Loss::MeanSquaredError).seed(1).threads(threads);
    Ok(network.add(Dense::new(1)).compile(settings)?)
}

fn garments_model(candidate: &Candidate, threads: usize) -> Result<Model, SearchError> {
    let network = Sequential::new(&[28, 28]).add(Flatten).add(Dense::new(16).activation(Activation::Relu));
    let network = network.add(Dense::new(10).activation(Activation::Softmax));
    Ok(network.compile(Compile::new(sgd(candidate)?).threads(threads))?)
}

/// What does not depend on the clock.
fn scores(results: &SearchResults) -> Vec<RankedTrial> {
    let mut rows = results.rows().to_vec();
    rows.iter_mut().flat_map(|row| &mut row.trial.folds).for_each(|fold| fold.seconds = 0.0);
    rows
}

#[test]
fn a_regression_is_searched_and_refitted() {
    let (data, test) = (friedman::regression(150, 3, 1.0, 1), friedman::regression(300, 3, 1.0, 2));
    let examples = Examples::new().input(data.inputs()).targets(data.targets());
    let training = Training::new(regression_model)
        .fit(|_| Ok(Fit::new().epochs(60)))
        .early_stopping(EarlyStopping::new().patience(5).restore_best_weights());
    // Rates of 50 and 1e-7 are planted: the one blows up, the other one learns nothing.
    let space = Space::new().choice("n_hidden", [1, 2]).choice("n_neurons", [16]).choice("learning_rate", [50.0, 0.01, 1e-7]);
    let search = |threads, at_once| {
        let search = Search::new(space.grid().unwrap(), KFold::new(3).shuffle(3).split(data.len()).unwrap()).unwrap();
        search.threads(threads).trials_at_once(at_once).run(training.objective(&examples)).unwrap()
    };
    let results = search(1, 1);
    assert_eq!(scores(&search(2, 2)), scores(&results), "parallel trials");
    assert_eq!(scores(&search(2, 1)), scores(&results), "parallel steps");

    let rate = |row: usize| results.rows()[row].trial.candidate.real("learning_rate").unwrap();
    assert_eq!([rate(0), rate(1)], [0.01, 0.01], "{results}");
    let best = results.best().unwrap();
    // The variance of the targets is 24.8; 1 of it is noise.
    assert!((-14.0..-1.0).contains(&best.mean().unwrap()), "{results}");
    let epochs: Vec<usize> = best.folds.iter().filter_map(|fold| fold.epochs).collect();
    assert_eq!(epochs.len(), 3);
    assert!(epochs.iter().all(|epochs| (2..=60).contains(epochs)), "{epochs:?}");

    let (mut model, history) = training.refit(&examples, best, 2).unwrap();
    assert_eq!(Some(history.epochs.len()), best.epochs());
    let loss = model.evaluate(Examples::new().input(test.inputs()).targets(test.targets())).unwrap().loss;
    assert!((1.0..12.0).contains(&loss), "{loss}");
    let failed = results.rows().iter().find(|row| row.trial.failure.is_some());
    if let Some(failed) = failed {
        assert!(matches!(training.refit(&examples, &failed.trial, 1), Err(SearchError::Failed { .. })));
    }
}

#[test]
fn a_classification_is_searched_by_accuracy() {
    let data = synthetic::garments(240, 0);
    let examples = Examples::from(&data);
    let training = Training::new(garments_model)
        .fit(|_| Ok(Fit::new().epochs(12)))
        .early_stopping(EarlyStopping::new().monitor("val_accuracy").unwrap().patience(3).restore_best_weights())
        .hold_out(ValidationSplit::Stratified { fraction: 0.2, seed: 1 })
        .scorer(Scorer::Accuracy);
    let folds = StratifiedKFold::new(2).shuffle(0).split(examples.class_labels().unwrap()).unwrap();
    for learning_rates in [[1e4, 0.02, 1e-8], [0.02, 1e-8, 1e4]] {
        let candidates = Space::new().choice("learning_rate", learning_rates).grid().unwrap();
        let results = Search::new(candidates, folds.clone()).unwrap().threads(2).run(training.objective(&examples)).unwrap();
        let best = results.best().unwrap();
        assert_eq!(best.candidate.real("learning_rate").unwrap(), 0.02, "{results}");
        assert!(best.mean().unwrap() > 0.4 && results.rows()[1].trial.mean().unwrap_or(0.0) < 0.25, "{results}");
    }
}

/// What the convenience does, done by hand.
#[test]
fn an_objective_trains_on_the_rows_of_its_fold() {
    let data = synthetic::garments(60, 0);
    let examples = Examples::from(&data);
    let training = Training::new(garments_model).fit(|_| Ok(Fit::new().epochs(2)));
    let candidates = Space::new().log_uniform("learning_rate", 1e-3, 1e-1).random(2, 9).unwrap();
    let search = || Search::new(candidates.clone(), KFold::new(3).split(60).unwrap()).unwrap().threads(1);
    let by_hand = |candidate: &Candidate, split: &Split<'_>| -> Result<f64, SearchError> {
        let (train, validation) = (data.select(split.training), data.select(split.validation));
        let mut model = garments_model(candidate, split.threads)?;
        model.fit(&train, &Fit::new().epochs(2), &mut [])?;
        Ok(-model.evaluate(&validation)?.loss)
    };
    let bits = |results: SearchResults| -> Vec<Vec<u64>> {
        results.rows().iter().map(|row| row.trial.folds.iter().map(|fold| fold.score.to_bits()).collect()).collect()
    };
    assert_eq!(bits(search().run(training.objective(&examples)).unwrap()), bits(search().run(by_hand).unwrap()));
}

#[test]
fn what_goes_wrong_in_a_trial_is_its_failure() {
    let (data, regression) = (synthetic::garments(40, 0), friedman::regression(40, 3, 1.0, 1));
    let (garments, houses) = (Examples::from(&data), Examples::new().input(regression.inputs()).targets(regression.targets()));
    let rate = Candidate::new().with("learning_rate", 0.01).with("n_hidden", 0);
    let search = |candidate: &Candidate| Search::new(vec![candidate.clone()], KFold::new(2).split(40).unwrap()).unwrap().threads(1);
    let failure = |results: SearchResults| results.rows()[0].trial.failure.clone().unwrap();
    let wrong_kind = Candidate::new().with("learning_rate", 1);
    let training = Training::new(garments_model);
    let kind = "fold 0: parameter `learning_rate`: a real number expected, found the integer 1";
    assert_eq!(failure(search(&wrong_kind).run(training.objective(&garments)).unwrap()), kind);
    let rows = "fold 0: input `input`: rows of 784 inputs expected, found 8";
    assert_eq!(failure(search(&rate).run(training.objective(&houses)).unwrap()), rows);
    let accuracy = Training::new(regression_model).scorer(Scorer::Accuracy);
    let none = "fold 0: an output with classes expected for the accuracy, found none";
    assert_eq!(failure(search(&rate).run(accuracy.objective(&houses)).unwrap()), none);
    let greedy = Training::new(|candidate: &Candidate, _| regression_model(candidate, 2));
    let threads = "fold 0: a model of at most 1 threads expected, found 2; compile it for the threads of its trial";
    assert_eq!(failure(search(&rate).run(greedy.objective(&houses)).unwrap()), threads);
    let other_folds = Search::new(vec![rate], KFold::new(2).split(41).unwrap()).unwrap().threads(1);
    let row = "fold 0: rows: numbers below the number of rows expected, found 40";
    assert_eq!(failure(other_folds.run(Training::new(regression_model).objective(&houses)).unwrap()), row);
}

#[test]
fn penalties_do_not_count_in_a_score() {
    let data = friedman::regression(40, 3, 1.0, 1);
    let examples = Examples::new().input(data.inputs()).targets(data.targets());
    let build = |candidate: &Candidate, threads| -> Result<Model, SearchError> {
        let penalty = selvedge::model::Regularizer { l1: 0.0, l2: candidate.real("l2")? as f32 };
        let network = Sequential::new(&[8]).add(Dense::new(1).kernel_regularizer(penalty));
        let still = Sgd { learning_rate: 0.0, ..Sgd::default() };
        Ok(network.compile(Compile::new(still).loss(Loss::MeanSquaredError).threads(threads))?)
    };
    let candidates = Space::new().choice("l2", [0.0, 10.0]).grid().unwrap();
    let search = Search::new(candidates, KFold::new(2).split(40).unwrap()).unwrap().threads(1);
    let results = search.run(Training::new(build).objective(&examples)).unwrap();
    assert_eq!(results.rows().iter().map(|row| row.rank).collect::<Vec<_>>(), [1, 1], "{results}");
}

#[test]
fn selected_rows_are_those_rows() {
    let pixels: Vec<u8> = (0..40).collect();
    let floats: Vec<f32> = (0..30).map(|x| x as f32).collect();
    // Two columns of three: the third is padding.
    let wide = MatRef::new(&floats, 10, 2, 3);
    let labels: Vec<u32> = (0..10).map(|i| i % 3).collect();
    let weights: Vec<f32> = (0..10).map(|i| i as f32 / 8.0).collect();
    let all = Examples::new().bytes(&pixels, 4).input(wide).labels(&labels).targets(wide).sample_weights(&weights);
    let scaled = all.scaling(Scaling::standardize(1.0, 2.0));
    let selected = scaled.select(&[7, 0, 7]).unwrap();
    let pixels = [28, 29, 30, 31, 0, 1, 2, 3, 28, 29, 30, 31];
    let floats = [21.0, 22.0, 0.0, 1.0, 21.0, 22.0];
    let wide = MatRef::new(&floats, 3, 2, 2);
    let (labels, weights) = ([1, 0, 1], [0.875, 0.0, 0.875]);
    let expected = Examples::new().bytes(&pixels, 4).input(wide).labels(&labels).targets(wide).sample_weights(&weights);
    let expected = expected.scaling(Scaling::standardize(1.0, 2.0));
    assert_eq!(format!("{:?}", Examples::from(&selected)), format!("{expected:?}"));
    assert!(Examples::from(&scaled.select(&[]).unwrap()).is_empty());

    let message = |error: ModelError| error.to_string();
    assert_eq!(message(scaled.select(&[3, 10]).unwrap_err()), "rows: numbers below the number of rows expected, found 10");
    let few = Examples::new().input(wide).labels(&[1, 2]);
    assert_eq!(message(few.select(&[0]).unwrap_err()), "3 rows expected, found 2");
}
