//! Configurations that Keras has written, as they are and with one thing changed.

use super::reference;
use selvedge::io::architecture::{Activation, Call, LayerKind, MAX_JSON, Regularizer};
use selvedge::io::{Architecture, ArchitectureError, Safetensors};
use serde_json::{Value, json};

fn config(name: &str) -> Value {
    let export = Safetensors::load(&reference(&format!("{name}.safetensors"))).unwrap();
    serde_json::from_str(&export.metadata["config"]).unwrap()
}

/// The configuration with another value at a place.
fn changed(name: &str, place: &str, value: Value) -> Result<Architecture, ArchitectureError> {
    let mut config = config(name);
    let (parent, key) = place.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap_or_else(|| panic!("{place}")) {
        Value::Object(object) => drop(object.insert(key.to_owned(), value)),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        other => panic!("{place}: {other}"),
    }
    Architecture::from_json(&config.to_string())
}

fn first(layer: usize) -> Call {
    Call { layer, call: 0 }
}

#[test]
fn a_sequential_model_is_a_chain() {
    let model = Architecture::from_json(&config("sequential").to_string()).unwrap();
    assert_eq!(model.name, "sequential");
    let dense = |units, activation, l2| LayerKind::Dense {
        units,
        activation,
        use_bias: true,
        kernel_regularizer: Regularizer { l1: 0.0, l2 },
        bias_regularizer: Regularizer::default(),
    };
    let expected = [
        ("input_layer", LayerKind::Input { shape: vec![12] }),
        ("dense", dense(8, Activation::Selu, 0.0)),
        (
            "batch_normalization",
            LayerKind::BatchNormalization {
                axis: -1,
                momentum: 0.9,
                epsilon: 1e-3,
                center: true,
                scale: true,
                beta_regularizer: Regularizer::default(),
                gamma_regularizer: Regularizer::default(),
            },
        ),
        ("dense_1", dense(5, Activation::Relu, 0.01)),
        ("dropout", LayerKind::Dropout { rate: 0.2, seed: None }),
        ("dense_2", dense(3, Activation::Softmax, 0.0)),
    ];
    assert_eq!(model.layers.len(), expected.len());
    for (number, (layer, (name, kind))) in model.layers.iter().zip(expected).enumerate() {
        assert_eq!((layer.name.as_str(), &layer.kind, layer.trainable), (name, &kind, true));
        let inputs = if number == 0 { vec![] } else { vec![first(number - 1)] };
        assert_eq!(layer.calls, [inputs]);
    }
    assert_eq!((model.inputs, model.outputs), (vec![first(0)], vec![first(5)]));
    assert_eq!(model.order, [0, 1, 2, 3, 4, 5].map(first));
}

#[test]
fn a_functional_model_is_a_graph() {
    let model = Architecture::from_json(&config("wide_and_deep").to_string()).unwrap();
    let number = |name: &str| model.layer(name).unwrap();
    let sources = |name: &str| {
        let calls = &model.layers[number(name)].calls;
        assert_eq!(calls.len(), 1);
        calls[0].iter().map(|call| model.layers[call.layer].name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(model.inputs, [first(number("wide")), first(number("deep"))]);
    assert_eq!(model.outputs, [first(number("main")), first(number("auxiliary"))]);
    assert_eq!(sources("wide"), [""; 0]);
    assert_eq!(sources("residual"), ["slopes", "leaky"]);
    assert_eq!(sources("join"), ["wide", "drop"]);
    assert_eq!(sources("squash"), ["drop"]);
    assert_eq!(sources("drop"), ["residual"]);
    let kind = |name: &str| &model.layers[number(name)].kind;
    assert_eq!(*kind("leaky"), LayerKind::Activation(Activation::LeakyRelu { negative_slope: 0.3 }));
    assert_eq!(*kind("squash"), LayerKind::Activation(Activation::Tanh));
    assert_eq!(*kind("drop"), LayerKind::AlphaDropout { rate: 0.1, seed: None });
    assert_eq!(*kind("join"), LayerKind::Concatenate { axis: -1 });
    assert!(matches!(kind("hidden1"), LayerKind::Dense { units: 7, use_bias: false, activation: Activation::Linear, .. }));
    assert_eq!(kind("hidden1").variables(), ["kernel"]);
    assert_eq!(kind("normalize").variables(), ["gamma", "beta", "moving_mean", "moving_variance"]);
    assert_eq!(kind("slopes").variables(), ["alpha"]);
    // Every call is there once, behind what it takes.
    assert_eq!(model.order.len(), model.layers.len());
    for (place, call) in model.order.iter().enumerate() {
        assert!(model.layers[call.layer].calls[call.call].iter().all(|source| model.order[..place].contains(source)));
        assert!(!model.order[..place].contains(call));
    }
}

#[test]
fn a_layer_may_be_called_more_than_once() {
    // hidden2 on its own output: the first call as before, the second takes the first.
    let tensor = |layer: &str, call: usize| json!({"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": [layer, call, 0]}}], "kwargs": {}});
    let nodes = json!([tensor("slopes", 0), tensor("hidden2", 0)]);
    let model = changed("wide_and_deep", "/config/layers/4/inbound_nodes", nodes).unwrap();
    let hidden2 = model.layer("hidden2").unwrap();
    assert_eq!(model.layers[hidden2].calls, [vec![first(3)], vec![first(hidden2)]]);
    assert!(model.order.contains(&Call { layer: hidden2, call: 1 }));
    assert_eq!(model.order.len(), model.layers.len() + 1);
    // A single input or output may stand without a list around it, and a tensor may be a named argument.
    let model = changed("wide_and_deep", "/config/output_layers", json!(["main", 0, 0])).unwrap();
    assert_eq!(model.outputs, [first(model.layer("main").unwrap())]);
    let mut named = tensor("slopes", 0);
    named["kwargs"]["inputs"] = named["args"][0].take();
    assert!(changed("wide_and_deep", "/config/layers/4/inbound_nodes", json!([named])).is_ok());
}

#[test]
fn activations_may_be_functions_or_layers() {
    let relu = |negative_slope: f64| json!({"class_name": "ReLU", "config": {"max_value": null, "threshold": 0.0, "negative_slope": negative_slope}});
    for (value, expected) in [
        (json!(null), Activation::Linear),
        (json!("swish"), Activation::Silu),
        (json!("leaky_relu"), Activation::LeakyRelu { negative_slope: 0.2 }),
        (json!("gelu"), Activation::Gelu),
        (json!({"class_name": "LeakyReLU", "config": {"negative_slope": 0.01}}), Activation::LeakyRelu { negative_slope: 0.01 }),
        (json!({"class_name": "ELU", "config": {"alpha": 0.5}}), Activation::Elu { alpha: 0.5 }),
        (relu(0.0), Activation::Relu),
        (relu(0.1), Activation::LeakyRelu { negative_slope: 0.1 }),
    ] {
        let model = changed("sequential", "/config/layers/1/config/activation", value.clone()).unwrap();
        assert!(matches!(&model.layers[1].kind, LayerKind::Dense { activation, .. } if *activation == expected), "{value}");
        if value.is_object() {
            let model = changed("sequential", "/config/layers/4", with_name(value.clone())).unwrap();
            assert_eq!(model.layers[4].kind, LayerKind::Activation(expected), "{value}");
        }
    }
}

fn with_name(mut layer: Value) -> Value {
    layer["config"]["name"] = json!("activation");
    layer
}

#[test]
fn what_is_not_supported_is_named() {
    let sequential = |place: &str, value: Value| changed("sequential", place, value).unwrap_err().to_string();
    for (place, value, expected) in [
        ("/class_name", json!("Sequence"), "a model of class Sequential or Functional expected, found Sequence"),
        ("/config/layers", json!([]), "`layers`: at least one layer expected, found []"),
        ("/config/layers/0", json!({}), "`config`: an object expected, found null"),
        ("/config/layers/1/class_name", json!("Conv2D"), "layer `dense`: a supported class expected, found Conv2D"),
        ("/config/layers/1/class_name", json!("Sequential"), "layer `dense`: a supported class expected, found Sequential"),
        ("/config/layers/3/config/name", json!("dense"), "layer `dense`: one expected, found another of the same name"),
        (
            "/config/layers/0/config/batch_shape",
            json!([null, null]),
            "layer `input_layer`, `batch_shape`: a known shape of a row expected, found [null,null]",
        ),
        (
            "/config/layers/0/config/batch_shape",
            json!([null]),
            "layer `input_layer`, `batch_shape`: a known shape of a row expected, found [null]",
        ),
        ("/config/layers/1/config/units", json!(0), "layer `dense`, `units`: a positive integer expected, found 0"),
        ("/config/layers/1/config/units", json!(-8), "layer `dense`, `units`: a positive integer expected, found -8"),
        ("/config/layers/1/config/use_bias", json!(null), "layer `dense`, `use_bias`: true or false expected, found null"),
        (
            "/config/layers/1/config/activation",
            json!("mish"),
            "layer `dense`, `activation`: a known activation expected, found \"mish\"",
        ),
        ("/config/layers/1/config/kernel_constraint", json!({}), "layer `dense`, `kernel_constraint`: null expected, found {}"),
        (
            "/config/layers/1/config/activity_regularizer",
            json!({}),
            "layer `dense`, `activity_regularizer`: null expected, found {}",
        ),
        (
            "/config/layers/1/config/dtype",
            json!("float64"),
            "layer `dense`, `dtype`: float32, mixed_float16 or mixed_bfloat16 expected, found \"float64\"",
        ),
        ("/config/layers/2/config/renorm", json!(true), "layer `batch_normalization`, `renorm`: false expected, found true"),
        ("/config/layers/2/config/momentum", json!("x"), "layer `batch_normalization`, `momentum`: a number expected, found \"x\""),
        (
            "/config/layers/3/config/kernel_regularizer/class_name",
            json!("L3"),
            "layer `dense_1`, `kernel_regularizer`: L1, L2 or L1L2 expected",
        ),
        ("/config/layers/4/config/noise_shape", json!([1]), "layer `dropout`, `noise_shape`: null expected, found [1]"),
        (
            "/config/layers/0",
            config("sequential").pointer("/config/layers/1").unwrap().clone(),
            "layer `dense`, `class_name`: an InputLayer at the start expected, found another layer",
        ),
    ] {
        let found = sequential(place, value);
        assert!(found.starts_with(expected), "{place}: {found}");
    }
}

#[test]
fn connections_that_lead_nowhere_or_in_a_circle_are_refused() {
    let history = "/config/layers/4/inbound_nodes/0/args/0/config/keras_history";
    for (place, value, expected) in [
        (
            history,
            json!(["nobody", 0, 0]),
            "layer `hidden2`, `inbound_nodes`: a layer that there is expected, found [\"nobody\",0,0]",
        ),
        (history, json!(["slopes", 1, 0]), "`inbound_nodes`: a call that there is expected, found call 1 of `slopes`, which has 1"),
        (history, json!(["slopes", -1, 0]), "layer `hidden2`, `inbound_nodes`: the number of a call expected"),
        (history, json!(["slopes", 0, 1]), "layer `hidden2`, `inbound_nodes`: a layer with one output expected"),
        (history, json!("slopes"), "layer `hidden2`, `inbound_nodes`: the name of a layer and two numbers expected"),
        (history, json!(["hidden2", 0, 0]), "layer `hidden2`: inputs that come before it expected, found a circle"),
        (history, json!(["main", 0, 0]), "layer `hidden2`: inputs that come before it expected, found a circle"),
        (
            "/config/layers/4/inbound_nodes",
            json!([[["slopes", 0, 0, {}]]]),
            "layer `hidden2`, `inbound_nodes`: `args` and `kwargs` of Keras 3 expected",
        ),
        ("/config/layers/4/inbound_nodes", json!([{"args": [], "kwargs": {}}]), "layer `hidden2`: 1 inputs expected, found 0"),
        (
            "/config/layers/4/inbound_nodes",
            json!([]),
            "`inbound_nodes`: a call that there is expected, found call 0 of `hidden2`, which has 0",
        ),
        (
            "/config/output_layers",
            json!([["main", 7, 0]]),
            "`inbound_nodes`: a call that there is expected, found call 7 of `main`, which has 1",
        ),
        ("/config/input_layers", json!([["deep", 0, 0]]), "`input_layers`: every InputLayer once expected, found [[\"deep\",0,0]]"),
        (
            "/config/input_layers",
            json!([["deep", 0, 0], ["main", 0, 0]]),
            "`input_layers`: every InputLayer once expected, found [[\"deep\",0,0],[\"main\",0,0]]",
        ),
        ("/config/input_layers", json!({"x": ["deep", 0, 0]}), "`input_layers`: a list expected"),
    ] {
        let found = changed("wide_and_deep", place, value).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{place}: {found}");
    }
    let mask = json!({"class_name": "__keras_tensor__", "config": {"keras_history": ["slopes", 0, 0]}});
    let found = changed("wide_and_deep", "/config/layers/4/inbound_nodes/0/kwargs/mask", mask).unwrap_err().to_string();
    assert_eq!(found, "layer `hidden2`, `inbound_nodes`: tensors as `inputs` only expected, found a tensor as `mask`");
}

#[test]
fn hostile_texts_give_errors_and_no_panic() {
    for text in ["", "null", "[]", "{", "{}", "{\"class_name\":\"Sequential\"}"] {
        assert!(Architecture::from_json(text).is_err(), "{text}");
    }
    assert!(matches!(Architecture::from_json(&"[".repeat(MAX_JSON)), Err(ArchitectureError::Json { .. })));
    assert!(matches!(Architecture::from_json(&" ".repeat(MAX_JSON + 1)), Err(ArchitectureError::TooLarge { .. })));
    let text = config("wide_and_deep").to_string();
    for length in (0..text.len()).step_by(31) {
        assert!(Architecture::from_json(&text[..length]).is_err(), "{length}");
    }
    let mut bytes = text.clone().into_bytes();
    for position in (0..bytes.len()).step_by(3) {
        let before = std::mem::replace(&mut bytes[position], b"\"0]{-,"[position % 6]);
        let _ = Architecture::from_json(str::from_utf8(&bytes).unwrap());
        bytes[position] = before;
    }
}
