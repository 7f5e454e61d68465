//! One case: how wgrad records what PyTorch computed.

use wgrad::prelude::*;

type Record = Box<dyn Fn(&Vars, &[Tensor]) -> Vec<Tensor>>;

/// A layer, function or loss under PyTorch's name.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    /// From variables (declared under PyTorch's names) and inputs to PyTorch's outputs.
    pub(crate) record: Record,
}

impl Case {
    /// A case with its own call.
    pub(crate) fn new(
        name: &'static str,
        record: impl Fn(&Vars, &[Tensor]) -> Vec<Tensor> + 'static,
    ) -> Self {
        Self { name, mode: Mode::Train, record: Box::new(record) }
    }

    /// The same in evaluation.
    pub(crate) fn eval(self) -> Self {
        Self { mode: Mode::Eval, ..self }
    }
}

/// A module of one input and one output.
pub(crate) fn layer<M: Module>(name: &'static str, build: impl Fn(&Vars) -> M + 'static) -> Case {
    Case::new(name, move |vars, x| vec![build(vars).forward(&x[0])])
}

/// A function of one tensor.
pub(crate) fn function(name: &'static str, call: impl Fn(&Tensor) -> Tensor + 'static) -> Case {
    Case::new(name, move |_, x| vec![call(&x[0])])
}

/// A function of several tensors.
pub(crate) fn call(name: &'static str, call: impl Fn(&[Tensor]) -> Tensor + 'static) -> Case {
    Case::new(name, move |_, x| vec![call(x)])
}
