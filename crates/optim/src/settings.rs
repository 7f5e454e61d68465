//! What every optimizer can be told, for all parameters or by group.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use wgrad_core::{Var, Vars};

use crate::optimizer::{NOT_NEGATIVE, within};
use crate::{Averaging, LossScale, Optimizer, Rate};

/// The settings that all optimizers share; set by the methods of [`Optimizer`].
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) rate: Rate,
    pub(crate) weight_decay: f64,
    pub(crate) maximize: bool,
    pub(crate) clip_value: Option<f64>,
    pub(crate) clip_norm: Option<f64>,
    pub(crate) averaging: Option<Averaging>,
    pub(crate) loss_scale: Option<LossScale>,
    pub(crate) groups: Vec<Group>,
}

impl Settings {
    /// A learning rate (a number or a [`Schedule`](crate::Schedule)) and nothing else.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self {
            rate: rate.into(),
            weight_decay: 0.0,
            maximize: false,
            clip_value: None,
            clip_norm: None,
            averaging: None,
            loss_scale: None,
            groups: vec![],
        }
    }

    /// The loss scale; where there is none yet, `scale` becomes it.
    pub fn loss_scale_or(&mut self, scale: LossScale) -> &LossScale {
        self.loss_scale.get_or_insert(scale)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        within("weight decay", self.weight_decay, NOT_NEGATIVE)?;
        for group in &self.groups {
            let of_group = |message: String| format!("in the group of {group}, {message}");
            group.check().map_err(of_group)?;
        }
        self.averaging.as_ref().map_or(Ok(()), Averaging::check)?;
        self.loss_scale.as_ref().map_or(Ok(()), LossScale::check)
    }

    /// The parameters of `vars` that each group holds, by name.
    pub(crate) fn members(&self, vars: &Vars) -> Result<Vec<HashSet<String>>, String> {
        let names = |group: &Group| {
            let members = group.members(vars)?;
            Ok(members.iter().map(|var| var.name().to_string()).collect())
        };
        self.groups.iter().map(names).collect()
    }

    /// What holds for one parameter: the general settings, changed by each of its groups in turn.
    pub(crate) fn of(&self, var: &Var, members: &[HashSet<String>]) -> Effective<'_> {
        let mut effective = Effective {
            optimizer: None,
            rate: &self.rate,
            rate_factor: 1.0,
            weight_decay: self.weight_decay,
            maximize: self.maximize,
            frozen: false,
        };
        for (group, members) in self.groups.iter().zip(members) {
            if members.contains(var.name()) {
                group.change(&mut effective);
            }
        }
        effective
    }
}

/// The settings of one parameter.
pub(crate) struct Effective<'a> {
    /// The optimizer whose rule counts, if it is not the one that has the groups.
    pub(crate) optimizer: Option<&'a dyn Optimizer>,
    pub(crate) rate: &'a Rate,
    pub(crate) rate_factor: f64,
    pub(crate) weight_decay: f64,
    pub(crate) maximize: bool,
    pub(crate) frozen: bool,
}

/// Which parameters a group holds.
#[derive(Clone, Debug)]
enum Members {
    Matching(String),
    Vectors,
}

/// Settings of some parameters that differ from the others'; see [`Optimizer::group`].
#[derive(Clone)]
pub struct Group {
    members: Members,
    optimizer: Option<Arc<dyn Optimizer + Send + Sync>>,
    rate: Option<Rate>,
    rate_factor: Option<f64>,
    weight_decay: Option<f64>,
    frozen: Option<bool>,
}

impl Group {
    fn new(members: Members) -> Self {
        Self { members, optimizer: None, rate: None, rate_factor: None, weight_decay: None, frozen: None }
    }

    pub(crate) fn matching(pattern: &str) -> Self {
        Self::new(Members::Matching(pattern.into()))
    }

    pub(crate) fn vectors() -> Self {
        Self::new(Members::Vectors)
    }

    /// A learning rate of its own: a number or a schedule.
    pub fn rate(mut self, rate: impl Into<Rate>) -> Self {
        self.rate = Some(rate.into());
        self
    }

    /// A multiple of the learning rate of the others, which keeps their schedule.
    pub fn rate_factor(mut self, factor: f64) -> Self {
        self.rate_factor = Some(factor);
        self
    }

    /// A weight decay of its own.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }

    /// No updates. `vars.freeze` does more: it also spares what leads to the gradient, and allows a loss
    /// that does not depend on the parameter.
    pub fn freeze(mut self) -> Self {
        self.frozen = Some(true);
        self
    }

    /// Undoes [`Group::freeze`] of a group before.
    pub fn unfreeze(mut self) -> Self {
        self.frozen = Some(false);
        self
    }

    /// Another optimizer, with its own rate and weight decay; its groups, clipping, averaging and loss
    /// scale do not count.
    pub fn optimizer(mut self, optimizer: impl Optimizer + Send + Sync + 'static) -> Self {
        self.optimizer = Some(Arc::new(optimizer));
        self
    }

    fn check(&self) -> Result<(), String> {
        within("the rate factor", self.rate_factor.unwrap_or(1.0), NOT_NEGATIVE)?;
        within("weight decay", self.weight_decay.unwrap_or(0.0), NOT_NEGATIVE)?;
        let Some(other) = &self.optimizer else { return Ok(()) };
        let of_other = |message: String| format!("{}: {message}", other.name());
        other.check().and_then(|()| other.settings().check()).map_err(of_other)
    }

    fn members(&self, vars: &Vars) -> Result<Vec<Var>, String> {
        match &self.members {
            Members::Vectors => {
                Ok(vars.parameters().into_iter().filter(|var| var.shape().rank() < 2).collect())
            }
            Members::Matching(pattern) => match vars.matching(pattern)? {
                none if none.is_empty() => Err(format!("no parameter matches `{pattern}`")),
                members => Ok(members),
            },
        }
    }

    fn change<'a>(&'a self, effective: &mut Effective<'a>) {
        if let Some(other) = &self.optimizer {
            let settings = other.settings();
            effective.optimizer = Some(other.as_ref());
            (effective.rate, effective.rate_factor) = (&settings.rate, 1.0);
            effective.weight_decay = settings.weight_decay;
            effective.maximize = settings.maximize;
        }
        if let Some(rate) = &self.rate {
            (effective.rate, effective.rate_factor) = (rate, 1.0);
        }
        effective.rate_factor = self.rate_factor.unwrap_or(effective.rate_factor);
        effective.weight_decay = self.weight_decay.unwrap_or(effective.weight_decay);
        effective.frozen = self.frozen.unwrap_or(effective.frozen);
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.members {
            Members::Matching(pattern) => write!(f, "`{pattern}`"),
            Members::Vectors => f.write_str("vectors"),
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("members", &self.members)
            .field("optimizer", &self.optimizer.as_ref().map(|optimizer| optimizer.name()))
            .field("rate_factor", &self.rate_factor)
            .field("weight_decay", &self.weight_decay)
            .field("frozen", &self.frozen)
            .finish_non_exhaustive()
    }
}
