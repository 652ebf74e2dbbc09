//! Trains and asks a small network in static memory, without std and without an allocator.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;
use selvedge::exec::{Batch, Context, Inputs, Targets, predict, train_step};
use selvedge::kernels::optimizers::{Momentum, MomentumKind, Optimizer};
use selvedge::kernels::{MatMut, MatRef};
use selvedge::parallel::Serial;
use selvedge::plan::{Activation, Aligned, Chain, LayerSpec, Memory, Plan, sequential};
use selvedge::simd::Isa;

static CHAIN: Chain<2> = sequential(6, [LayerSpec::dense(16, Activation::Relu), LayerSpec::dense(3, Activation::Softmax)]);
static TRAINING: Plan<'static> = Plan::training(CHAIN.network(), 4, 1);
static INFERENCE: Plan<'static> = Plan::inference(CHAIN.network(), 1, 1);

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut parameters = Aligned([0.1; TRAINING.parameters_len()]);
    let mut state = Aligned([0.0; TRAINING.state_len(1)]);
    let mut workspace = Aligned([0.0; TRAINING.workspace_len()]);
    let rows = black_box([0.5; 4 * 6]);
    let labels = black_box([0, 1, 2, 0]);
    let context = Context { isa: Isa::PORTABLE, plan: &TRAINING, executor: &Serial::new(1) };
    let optimizer = Optimizer::Momentum(Momentum { learning_rate: 0.1, momentum: 0.9, kind: MomentumKind::Classic });
    let inputs = [Inputs::Rows(MatRef::new(&rows, 4, 6, 6))];
    let batch = Batch { inputs: &inputs, targets: &[Targets::Labels(&labels)], weights: None };
    let mut memory = Memory { parameters: &mut parameters.0, state: &mut state.0, gradients: &mut [], workspace: &mut workspace.0 };
    black_box(train_step(&context, &optimizer.into(), &batch, &mut memory));

    let mut probabilities = [0.0; 3];
    let context = Context { plan: &INFERENCE, ..context };
    let inputs = [Inputs::Rows(MatRef::new(&rows, 1, 6, 6))];
    predict(&context, &inputs, &parameters.0, &mut workspace.0, &mut [MatMut::new(&mut probabilities, 1, 3, 3)]);
    black_box(probabilities);
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
