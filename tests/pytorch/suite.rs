//! Checks a list of cases: all of them in one graph, so that the GPU runs one program.

use std::sync::LazyLock;

use wgrad::core::interpret::Environment;
use wgrad::prelude::*;

use crate::case::Case;
use crate::compare::{Expected, Verdict, device_tolerances, interpret};
use crate::golden::{Goldens, array};

pub(crate) static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

/// Cases in one graph, with PyTorch's inputs, parameters and results.
struct Recorded {
    graph: Graph,
    vars: Vars,
    inputs: Environment,
    state: Environment,
    expected: Vec<Expected>,
}

/// Every case of a golden file's group, in the interpreter and on the GPU.
pub(crate) fn check(file: &str, what: &str, cases: Vec<Case>) {
    let goldens = Goldens::read(file);
    let mut verdict = Verdict::new();
    for mode in [Mode::Train, Mode::Eval] {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.mode == mode).collect();
        if cases.is_empty() {
            continue;
        }
        let mut recorded = Recorded::new(mode);
        cases.iter().for_each(|case| recorded.add(case, &goldens));
        recorded.check(&mut verdict);
    }
    verdict.finish(what);
}

impl Recorded {
    fn new(mode: Mode) -> Self {
        let (inputs, state) = (Environment::new(), Environment::new());
        Self { graph: Graph::new(mode), vars: Vars::new(), inputs, state, expected: vec![] }
    }

    /// Records a case: its outputs, and the gradients of Σ upstream·output.
    fn add(&mut self, case: &Case, goldens: &Goldens) {
        let (name, golden) = (case.name, goldens.case(case.name));
        let inputs: Vec<Tensor> =
            (0..).map_while(|i| self.input(name, &format!("in.{i}"), goldens)).collect();
        let vars = self.vars.sub(name);
        let outputs = (case.record)(&vars, &inputs);
        // PyTorch's state dict has the same names and shapes, and becomes the initial state.
        let state = golden.sub("var");
        state.apply(&vars).unwrap_or_else(|error| panic!("{name}: {error}"));
        for var in vars.all() {
            let value = array(&state, vars.relative(&var).unwrap_or_default(), var.spec().dtype);
            self.state.insert(var.name().into(), value);
        }

        let count = (0..).take_while(|i| golden.get(&format!("out.{i}")).is_some()).count();
        assert_eq!(outputs.len(), count, "{name}: the number of outputs");
        let mut loss: Option<Tensor> = None;
        for (i, output) in outputs.iter().enumerate() {
            self.expect(name, &format!("out.{i}"), output, goldens);
            if let Some(upstream) = self.input(name, &format!("up.{i}"), goldens) {
                let share = (output * upstream).sum(..);
                loss = Some(loss.map_or(share.clone(), |loss| loss + share));
            }
        }
        if let Some(loss) = loss {
            self.add_gradients(name, &loss, &inputs, &vars, goldens);
        }
        self.add_buffers(name, &vars, goldens);
    }

    /// A graph input with PyTorch's values, if the file has it.
    fn input(&mut self, case: &str, what: &str, goldens: &Goldens) -> Option<Tensor> {
        let golden = goldens.case(case);
        let dtype = if golden.get(what)?.spec().dtype.is_float() { F32 } else { U32 };
        let (name, value) = (format!("{case}.{what}"), array(&golden, what, dtype));
        let tensor = self.graph.input(&name, value.shape(), dtype);
        self.inputs.insert(name, value);
        Some(tensor)
    }

    fn expect(&mut self, case: &str, what: &str, tensor: &Tensor, goldens: &Goldens) {
        let value = array(&goldens.case(case), what, tensor.dtype());
        self.expected.push(Expected { name: format!("{case}.{what}"), node: tensor.id(), value });
    }

    fn add_gradients(
        &mut self,
        case: &str,
        loss: &Tensor,
        inputs: &[Tensor],
        vars: &Vars,
        goldens: &Goldens,
    ) {
        let golden = goldens.case(case);
        for (i, input) in inputs.iter().enumerate() {
            let what = format!("din.{i}");
            if golden.get(&what).is_some() {
                self.expect(case, &what, &loss.gradients(&[input])[0], goldens);
            }
        }
        let gradients = loss.backward(vars);
        assert_eq!(
            gradients.len(),
            golden.sub("dvar").len(),
            "{case}: the number of parameters with a gradient"
        );
        for (var, gradient) in gradients {
            let what = format!("dvar.{}", vars.relative(&var).unwrap_or_default());
            self.expect(case, &what, &gradient, goldens);
        }
    }

    /// What buffers hold after the step: a new value, or the old one.
    fn add_buffers(&mut self, case: &str, vars: &Vars, goldens: &Goldens) {
        let recording = self.graph.recording();
        let buffers: Vec<Var> = vars.all().into_iter().filter(|var| *var.kind() == VarKind::Buffer).collect();
        assert_eq!(buffers.len(), goldens.case(case).sub("after").len(), "{case}: the number of buffers");
        for var in buffers {
            let assigned = recording.assigns.iter().find(|(known, _)| known.name() == var.name());
            let value = assigned.map_or_else(|| self.graph.var(&var), |(_, id)| self.graph.tensor(*id));
            self.expect(case, &format!("after.{}", vars.relative(&var).unwrap_or_default()), &value, goldens);
        }
    }

    fn check(&self, verdict: &mut Verdict) {
        let recording = self.graph.recording();
        recording.check().unwrap_or_else(|error| panic!("{error}"));
        let environment: Environment = self.inputs.clone().into_iter().chain(self.state.clone()).collect();
        let mut allowed = interpret(&recording, &environment, &self.expected, verdict);
        let device = device_tolerances(&recording, &environment, &self.expected);
        for (allowed, device) in allowed.iter_mut().flatten().zip(device.into_iter().flatten()) {
            *allowed += device;
        }

        let nodes: Vec<_> = self.expected.iter().map(|expected| expected.node).collect();
        let program = GPU.compile_recording(&recording, &nodes).unwrap_or_else(|error| panic!("{error}"));
        let mut state = GPU.init(&self.vars, 0).unwrap_or_else(|error| panic!("{error}"));
        let batch = Batch::of_arrays(self.inputs.iter().map(|(name, array)| (name.as_str(), array)));
        let outputs = program.run(&mut state, batch).unwrap_or_else(|error| panic!("{error}"));
        for (i, (expected, allowed)) in self.expected.iter().zip(&allowed).enumerate() {
            let found = outputs.get(i).unwrap_or_else(|error| panic!("{error}"));
            verdict.compare("GPU", &expected.name, &found, &expected.value, allowed);
        }
    }
}
