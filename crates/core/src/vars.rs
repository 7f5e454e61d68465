//! Named variables: what a model's parameters, running statistics and optimizer moments are before
//! they have values.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ops::RandomBits;
use crate::{DType, Error, Graph, Result, Shape, Tensor, TensorSpec};

/// What a variable is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VarKind {
    /// Learned by gradient descent.
    Parameter,
    /// Part of the model, updated by assignment (running statistics).
    Buffer,
    /// Belongs to an optimizer, and mostly to a parameter; the name says what it is (which moment).
    Slot(String),
    /// Belongs to the state itself: seed and step.
    System,
}

/// What an initializer may look at.
pub struct InitContext<'a> {
    /// The graph that computes the initial value.
    pub graph: &'a Graph,
    /// The variable's shape.
    pub shape: &'a Shape,
    /// The variable's dtype.
    pub dtype: DType,
    /// The variable's full name.
    pub name: &'a str,
    /// The seed of the state.
    pub seed: u64,
}

impl InitContext<'_> {
    /// Uniform random 32-bit words in the variable's shape. `draw` tells several draws of one
    /// initializer apart. The stream depends on the variable's name alone, so adding a layer does
    /// not change the others.
    #[track_caller]
    pub fn random_bits(&self, draw: u64) -> Tensor {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let seed = self.graph.constant([2], &key);
        let step = self.graph.scalar(0.0, DType::U32);
        let stream = fnv1a(self.name.as_bytes()).wrapping_add(draw);
        self.graph.record(RandomBits { stream, shape: self.shape.clone() }, &[&seed, &step])
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): a stable hash of a variable's name.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// How a variable gets its first value: a function that records it, so that values are born on the
/// device.
#[derive(Clone)]
pub struct Init(Arc<dyn Fn(&InitContext<'_>) -> Tensor + Send + Sync>);

impl Init {
    /// An initializer from a recording function.
    pub fn new(record: impl Fn(&InitContext<'_>) -> Tensor + Send + Sync + 'static) -> Self {
        Self(Arc::new(record))
    }

    /// Every element the same.
    pub fn constant(value: f64) -> Self {
        Self::new(move |cx| cx.graph.full(cx.shape, value, cx.dtype))
    }

    /// Records the initial value.
    pub fn record(&self, cx: &InitContext<'_>) -> Tensor {
        (self.0)(cx)
    }
}

impl fmt::Debug for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Init")
    }
}

#[derive(Debug)]
struct VarInner {
    name: String,
    spec: TensorSpec,
    kind: VarKind,
    init: Mutex<Init>,
    trainable: AtomicBool,
    location: &'static Location<'static>,
}

/// A named variable. Clones refer to the same variable; its value lives in a state.
#[derive(Clone, Debug)]
pub struct Var(Arc<VarInner>);

impl Var {
    #[track_caller]
    fn new(name: String, spec: TensorSpec, kind: VarKind, init: Init) -> Self {
        let trainable = AtomicBool::new(kind == VarKind::Parameter);
        let (init, location) = (Mutex::new(init), Location::caller());
        Self(Arc::new(VarInner { name, spec, kind, init, trainable, location }))
    }

    /// The seed of a state: u32\[2\], low word first.
    pub fn seed() -> Self {
        Self::new("wgrad.seed".into(), TensorSpec::new(DType::U32, [2]), VarKind::System, Init::constant(0.0))
    }

    /// The number of training steps a state has seen: a u32 scalar.
    pub fn step() -> Self {
        Self::new("wgrad.step".into(), TensorSpec::new(DType::U32, []), VarKind::System, Init::constant(0.0))
    }

    /// The full name, parts joined by dots (`conv1.weight`).
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Element type and shape.
    pub fn spec(&self) -> &TensorSpec {
        &self.0.spec
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.0.spec.shape
    }

    /// What the variable is for.
    pub fn kind(&self) -> &VarKind {
        &self.0.kind
    }

    /// How its first value is made.
    pub fn init(&self) -> Init {
        self.0.init.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Replaces how its first value is made: states made from now on begin with it.
    pub fn set_init(&self, init: Init) {
        *self.0.init.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = init;
    }

    /// Whether optimizers update it: a parameter that is not frozen.
    pub fn is_trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Where it was declared.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.location
    }
}

#[derive(Debug, Default)]
struct Tree {
    vars: Vec<Var>,
    errors: Vec<Error>,
}

/// The tree of a model's variables. Clones and subtrees share the same tree.
///
/// ```
/// use wgrad_core::{F32, Init, Vars};
/// let vars = Vars::new();
/// let weight = vars.sub("fc1").var("weight", [128, 64], Init::constant(0.0));
/// assert_eq!(weight.name(), "fc1.weight");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Vars {
    tree: Arc<Mutex<Tree>>,
    prefix: String,
}

impl Vars {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A variable's name as seen from here: without this tree's prefix. `None` for a variable elsewhere.
    pub fn relative<'a>(&self, var: &'a Var) -> Option<&'a str> {
        match self.prefix.as_str() {
            "" => Some(var.name()),
            prefix => var.name().strip_prefix(prefix)?.strip_prefix('.'),
        }
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.into() } else { format!("{}.{name}", self.prefix) }
    }

    /// The subtree with a name, or with an index: `vars.sub("layers").sub(0)`.
    pub fn sub(&self, name: impl fmt::Display) -> Self {
        Self { tree: self.tree.clone(), prefix: self.full_name(&name.to_string()) }
    }

    /// Declares an f32 parameter.
    #[track_caller]
    pub fn var(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Var {
        let spec = TensorSpec::new(DType::F32, shape);
        self.declare(Var::new(self.full_name(name), spec, VarKind::Parameter, init))
    }

    /// Declares a variable that is part of the model but not trained (running statistics).
    #[track_caller]
    pub fn buffer(&self, name: &str, spec: TensorSpec, init: Init) -> Var {
        self.declare(Var::new(self.full_name(name), spec, VarKind::Buffer, init))
    }

    /// The variable in which an optimizer keeps something about a parameter, in the parameter's
    /// shape; declared on first use. Its name is `parameter.slot`.
    #[track_caller]
    pub fn slot(&self, slot: &str, parameter: &Var, init: Init) -> Var {
        self.slot_of(slot, parameter, parameter.spec().clone(), init)
    }

    /// A [`Vars::slot`] with a shape and dtype of its own.
    #[track_caller]
    pub fn slot_of(&self, slot: &str, parameter: &Var, spec: TensorSpec, init: Init) -> Var {
        self.slot_named(format!("{}.{slot}", parameter.name()), slot, spec, init)
    }

    /// The variable in which an optimizer keeps something about all parameters of this tree together
    /// (the number of updates, a loss scale); declared on first use.
    #[track_caller]
    pub fn shared_slot(&self, slot: &str, spec: TensorSpec, init: Init) -> Var {
        self.slot_named(self.full_name(slot), slot, spec, init)
    }

    #[track_caller]
    fn slot_named(&self, name: String, slot: &str, spec: TensorSpec, init: Init) -> Var {
        if let Some(known) = self.lock().vars.iter().find(|var| var.name() == name) {
            return known.clone();
        }
        self.declare(Var::new(name, spec, VarKind::Slot(slot.into()), init))
    }

    #[track_caller]
    fn declare(&self, var: Var) -> Var {
        let mut tree = self.lock();
        if let Some(known) = tree.vars.iter().find(|known| known.name() == var.name()) {
            let message = format!(
                "variable `{}` is already declared at {}; give the layers different names with `vars.sub`",
                var.name(),
                known.location()
            );
            tree.errors.push(Error { operation: "var".into(), message, location: Location::caller() });
        } else {
            tree.vars.push(var.clone());
        }
        var
    }

    /// Every variable under this prefix, in the order of declaration.
    pub fn all(&self) -> Vec<Var> {
        self.lock().vars.iter().filter(|var| self.relative(var).is_some()).cloned().collect()
    }

    /// The parameters under this prefix that are not frozen.
    pub fn trainable(&self) -> Vec<Var> {
        self.all().into_iter().filter(Var::is_trainable).collect()
    }

    /// The parameters under this prefix.
    pub fn parameters(&self) -> Vec<Var> {
        self.all().into_iter().filter(|var| *var.kind() == VarKind::Parameter).collect()
    }

    /// The variable with a name below this prefix.
    pub fn get(&self, name: &str) -> Option<Var> {
        let name = self.full_name(name);
        self.lock().vars.iter().find(|var| var.name() == name).cloned()
    }

    /// Excludes parameters from training by a glob pattern over names: `vars.freeze("conv*")`.
    /// Returns how many matched.
    #[track_caller]
    pub fn freeze(&self, pattern: &str) -> usize {
        self.set_trainable(pattern, false)
    }

    /// Undoes [`Vars::freeze`].
    #[track_caller]
    pub fn unfreeze(&self, pattern: &str) -> usize {
        self.set_trainable(pattern, true)
    }

    #[track_caller]
    fn set_trainable(&self, pattern: &str, trainable: bool) -> usize {
        let matching = match self.matching(pattern) {
            Ok(matching) => matching,
            Err(message) => {
                let location = Location::caller();
                self.lock().errors.push(Error { operation: "freeze".into(), message, location });
                return 0;
            }
        };
        matching.iter().for_each(|var| var.0.trainable.store(trainable, Ordering::Relaxed));
        matching.len()
    }

    /// The parameters whose names below this prefix match a glob pattern, in which `*` also matches
    /// dots; or what is wrong with the pattern.
    pub fn matching(&self, pattern: &str) -> Result<Vec<Var>, String> {
        let glob = glob::Pattern::new(pattern)
            .map_err(|error| format!("`{pattern}` is not a glob pattern: {error}"))?;
        let matches = |var: &Var| self.relative(var).is_some_and(|name| glob.matches(name));
        Ok(self.parameters().into_iter().filter(matches).collect())
    }

    /// The first mistake made while declaring variables.
    pub fn check(&self) -> Result<()> {
        self.lock().errors.first().map_or(Ok(()), |error| Err(error.clone()))
    }
}
