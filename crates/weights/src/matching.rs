//! Weights beside the variables of a model: what fits, what does not, and loading what does.

use std::fmt;

use wgrad_core::{Array, Init, TensorSpec, Var, VarKind, Vars};

use crate::{Entry, Weights, WeightsError};

/// An array that has a variable's name but does not fit it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The name of both.
    pub name: String,
    /// What the variable is.
    pub expected: TensorSpec,
    /// What the array is, as stored, and what else speaks against it.
    pub found: String,
}

/// What came of laying weights beside variables. Names are as seen from the tree of variables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Variables that have a value now.
    pub loaded: Vec<String>,
    /// Parameters and buffers that the weights lack.
    pub missing: Vec<String>,
    /// Arrays that no variable is called like.
    pub unexpected: Vec<String>,
    /// Arrays of another shape or kind of element than their variable.
    pub mismatched: Vec<Mismatch>,
}

impl LoadReport {
    /// Whether every parameter and buffer has a value, and every array a variable.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} loaded", self.loaded.len())?;
        for (what, names) in [("missing", &self.missing), ("unexpected", &self.unexpected)] {
            if !names.is_empty() {
                write!(f, "; {} {what}: {}", names.len(), first_few(names))?;
            }
        }
        if !self.mismatched.is_empty() {
            let line = |m: &Mismatch| format!("{} is {}, the file has {}", m.name, m.expected, m.found);
            let lines: Vec<_> = self.mismatched.iter().map(line).collect();
            write!(f, "; {} mismatched: {}", lines.len(), first_few(&lines))?;
        }
        Ok(())
    }
}

/// A list that still fits a message; the report has the rest.
fn first_few(lines: &[String]) -> String {
    const FEW: usize = 8;
    match lines.get(FEW..) {
        Some(rest @ [_, ..]) => format!("{} and {} more", lines[..FEW].join(", "), rest.len()),
        _ => lines.join(", "),
    }
}

/// Weights beside the variables they are for; nothing is changed yet.
///
/// ```
/// use wgrad_core::{Array, Init, Vars};
/// use wgrad_weights::Weights;
/// let mut file = Weights::new();
/// file.insert("weight", &Array::from_slice([3], &[1f32, 2.0, 3.0]));
/// let vars = Vars::new();
/// vars.sub("body").var("weight", [3], Init::constant(0.0));
/// vars.sub("head").var("bias", [1], Init::constant(0.0));
///
/// let matching = file.matching(&vars.sub("body"));
/// assert!(matching.report().is_complete());
/// // Onto a running state: matching.write(|name, value| state.write(name, value))?;
/// matching.write(|name, value| {
///     assert_eq!((name, value.data.len()), ("body.weight", 3));
///     Ok::<(), ()>(())
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Matching {
    report: LoadReport,
    pairs: Vec<(Var, Entry)>,
}

impl Weights {
    /// Lays arrays beside variables of the same name, as seen from `vars`: shapes must be equal; floats may
    /// become other floats, and integers others that hold their values. What optimizers keep is loaded where
    /// the weights have it, and never missing.
    pub fn matching(&self, vars: &Vars) -> Matching {
        let (mut report, mut pairs) = (LoadReport::default(), vec![]);
        let all = vars.all();
        let named: Vec<_> = all.iter().filter_map(|var| Some((vars.relative(var)?, var))).collect();
        for &(name, var) in &named {
            match self.get(name) {
                Some(entry) => match misfit(entry, var.spec()) {
                    None => {
                        report.loaded.push(name.into());
                        pairs.push((var.clone(), entry.clone()));
                    }
                    Some(found) => {
                        let expected = var.spec().clone();
                        report.mismatched.push(Mismatch { name: name.into(), expected, found });
                    }
                },
                None if may_lack(name, var.kind()) => {}
                None => report.missing.push(name.into()),
            }
        }
        let known: std::collections::HashSet<&str> = named.iter().map(|(name, _)| *name).collect();
        let unexpected = self.iter().map(|(name, _)| name).filter(|name| !known.contains(name));
        report.unexpected = unexpected.map(String::from).collect();
        Matching { report, pairs }
    }

    /// Makes the arrays the initial values of a model's variables, for `gpu.init`. Everything must fit: see
    /// [`Weights::matching`]. Otherwise the report is the error, and nothing is changed.
    pub fn apply(&self, vars: &Vars) -> Result<LoadReport, WeightsError> {
        Ok(self.matching(vars).strict()?.init())
    }

    /// [`Weights::apply`] for what fits; the report tells the rest. Other variables keep their initializers.
    pub fn apply_partial(&self, vars: &Vars) -> LoadReport {
        self.matching(vars).init()
    }
}

impl Matching {
    /// What fits and what does not.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// The same, or an error unless everything fits.
    pub fn strict(self) -> Result<Self, WeightsError> {
        if self.report.unexpected.is_empty() { self.complete() } else { Err(self.incomplete()) }
    }

    /// The same, or an error unless every variable gets its value. Arrays may be left over: those of a head
    /// that the model lacks, or what a checkpoint holds beside the model.
    pub fn complete(self) -> Result<Self, WeightsError> {
        if self.report.missing.is_empty() && self.report.mismatched.is_empty() {
            Ok(self)
        } else {
            Err(self.incomplete())
        }
    }

    fn incomplete(self) -> WeightsError {
        WeightsError::Incomplete(Box::new(self.report))
    }

    /// Makes what fits the initial values of the variables: states made from now on begin with them.
    pub fn init(self) -> LoadReport {
        for (var, entry) in self.pairs {
            var.set_init(Init::new(move |cx| cx.graph.constant_array(entry.values(cx.dtype))));
        }
        self.report
    }

    /// Hands what fits to `write`, by the variables' full names: `|name, value| state.write(name, value)`.
    /// Stops at its first error.
    pub fn write<E>(self, mut write: impl FnMut(&str, &Array) -> Result<(), E>) -> Result<LoadReport, E> {
        for (var, entry) in &self.pairs {
            write(var.name(), &entry.values(var.spec().dtype))?;
        }
        Ok(self.report)
    }
}

/// What is wrong with an array for a variable.
fn misfit(entry: &Entry, spec: &TensorSpec) -> Option<String> {
    if *entry.shape() != spec.shape {
        return Some(entry.to_string());
    }
    entry.check(spec.dtype).err().map(|problem| format!("{entry}: {problem}"))
}

/// Whether complete weights may lack a variable. Batch norms counted their batches only from PyTorch 0.4.1
/// on, and older files load there as well.
fn may_lack(name: &str, kind: &VarKind) -> bool {
    match kind {
        VarKind::Parameter => false,
        VarKind::Buffer => name.rsplit('.').next() == Some("num_batches_tracked"),
        VarKind::Slot(_) | VarKind::System => true,
    }
}
