//! Which part of which buffer each binding of each dispatch is, for one state. Found when a program first meets a state,
//! and kept.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use wgrad_core::Op;

use crate::codegen::{Bound, Source, Word};
use crate::device::{Gpu, lock};
use crate::error::Error;
use crate::launch::{Binding, Dispatch, Launch};
use crate::plan::Place;
use crate::program::Program;
use crate::state::State;

/// The dispatches of a program for the last states that it met, with a sign of life of each: they keep its memory.
pub(crate) type Launches = Mutex<VecDeque<(Weak<()>, Arc<Launch>)>>;

/// Lets go of the memory of states that are gone; says how many there were.
fn forget(known: &mut VecDeque<(Weak<()>, Arc<Launch>)>) -> usize {
    let before = known.len();
    known.retain(|(state, _)| state.strong_count() > 0);
    before - known.len()
}

impl Gpu {
    /// A place for the dispatches of a program, in which [`Gpu::reclaim`] looks as well.
    pub(crate) fn launches(&self) -> Arc<Launches> {
        let launches = Arc::new(Launches::default());
        let mut all = lock(&self.inner.launches);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&launches));
        launches
    }

    /// Has all programs let go of states that are gone, and waits until their memory is free; says whether there is any.
    pub(crate) fn reclaim(&self) -> bool {
        let all: Vec<_> = lock(&self.inner.launches).iter().filter_map(Weak::upgrade).collect();
        // Who is preparing dispatches holds the lock, may be the one who needs memory, and has looked before.
        let known = all.iter().filter_map(|launches| launches.try_lock().ok());
        let found: usize = known.map(|mut known| forget(&mut known)).sum();
        if found > 0 {
            // What the device says goes to whoever asks next.
            let _ = self.polled(wgpu::PollType::Wait { submission_index: None, timeout: None });
        }
        found > 0
    }
}

impl Program {
    /// The dispatches for a state, prepared when the program first meets it.
    pub(crate) fn launch(&self, state: &State) -> Result<Arc<Launch>, Error> {
        /// States whose dispatches are kept.
        const KEPT: usize = 4;
        let this = &self.inner;
        let mut known = lock(&this.launches);
        forget(&mut known);
        if let Some((_, launch)) = known.iter().find(|(id, _)| id.as_ptr() == Arc::as_ptr(&state.alive)) {
            return Ok(launch.clone());
        }
        let launch = self.prepare(state, false)?;
        known.push_back((Arc::downgrade(&state.alive), launch.clone()));
        if known.len() > KEPT {
            known.pop_front();
        }
        Ok(launch)
    }

    /// The dispatches for a state, which has to have every variable of the program; timed or not.
    pub(crate) fn prepare(&self, state: &State, timed: bool) -> Result<Arc<Launch>, Error> {
        let gpu = &self.inner.gpu;
        let dispatches = self.dispatches(state)?;
        let launch = Launch::new(gpu, &dispatches, &[&self.inner.workspace, &state.buffer], timed)?;
        gpu.inner.count.bind_groups.fetch_add(dispatches.len() as u64, Ordering::Relaxed);
        Ok(Arc::new(launch))
    }

    fn dispatches(&self, state: &State) -> Result<Vec<Dispatch<'_>>, Error> {
        let this = &self.inner;
        let recording = &this.plan.recording;
        let read = recording.nodes.iter().filter_map(|node| match &node.op {
            Op::Variable(variable) => Some((&*variable.name, &variable.spec)),
            _ => None,
        });
        // What is only assigned is not read.
        for (name, spec) in read.chain(recording.assigns.iter().map(|(var, _)| (var.name(), var.spec()))) {
            let slot = state.slot(name)?;
            if slot.spec != *spec {
                let message = format!("it is {} in the state, {spec} in the program", slot.spec);
                return Err(Error::Variable { name: name.to_string(), message });
            }
        }
        let dispatch =
            |(source, waits)| Ok(Dispatch { source, bindings: self.bind(source, state)?, waits, times: 1 });
        this.sources.iter().zip(this.plan.waits()).map(dispatch).collect()
    }

    fn bind(&self, source: &Source, state: &State) -> Result<Vec<Binding>, Error> {
        let resolve = |bound: &Bound| {
            let (buffer, offset, bytes) = match bound {
                Bound::Tensor(place) => self.locate(place, state)?,
                Bound::State(places) | Bound::Workspace(places) => self.span(places, state, bound)?,
                Bound::Table(words) => {
                    let buffer = self.table(words, &source.bindings, state)?;
                    let bytes = buffer.size();
                    return Ok(Binding { buffer, offset: 0, bytes });
                }
            };
            Ok(Binding { buffer: buffer.clone(), offset, bytes })
        };
        source.bindings.iter().map(resolve).collect()
    }

    /// The smallest range of one buffer that holds all of the places.
    fn span<'a>(
        &'a self,
        places: &[Place],
        state: &'a State,
        bound: &Bound,
    ) -> Result<(&'a wgpu::Buffer, u64, u64), Error> {
        let buffer = if matches!(bound, Bound::State(_)) { &state.buffer } else { &self.inner.workspace };
        let mut range = (u64::MAX, 0);
        for place in places {
            let (_, offset, bytes) = self.locate(place, state)?;
            range = (range.0.min(offset), range.1.max(offset + bytes));
        }
        if places.is_empty() {
            range = (0, 16);
        }
        let (bytes, limit) =
            (range.1 - range.0, self.inner.gpu.inner.device.limits().max_storage_buffer_binding_size);
        if bytes > limit {
            return Err(Error::TooLarge {
                adapter: self.inner.gpu.info().name.clone(),
                what: "for the tensors of one packed kernel".into(),
                needed: bytes,
                limit,
                largest: String::new(),
                advice: String::new(),
            });
        }
        Ok((buffer, range.0, bytes))
    }

    /// The table of a packed dispatch, for one state.
    fn table(&self, words: &[Word], bindings: &[Bound], state: &State) -> Result<wgpu::Buffer, Error> {
        let (mut state_start, mut workspace_start) = (0, 0);
        for bound in bindings {
            match bound {
                Bound::State(places) => state_start = self.span(places, state, bound)?.1,
                Bound::Workspace(places) => workspace_start = self.span(places, state, bound)?.1,
                Bound::Tensor(_) | Bound::Table(_) => {}
            }
        }
        let number = |word: &Word| match word {
            Word::Number(number) => Ok(*number),
            Word::Start(place) => {
                let base = if matches!(place, Place::State(_)) { state_start } else { workspace_start };
                Ok(((self.locate(place, state)?.1 - base) / 16) as u32)
            }
        };
        let numbers = words.iter().map(number).collect::<Result<Vec<u32>, Error>>()?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let buffer = self.inner.gpu.buffer("table", 4 * numbers.len() as u64, usage)?;
        self.inner.gpu.upload(&buffer, &[(0, bytemuck::cast_slice(&numbers))])?;
        Ok(buffer)
    }

    /// The buffer, offset and length behind a place.
    pub(crate) fn locate<'a>(
        &'a self,
        place: &Place,
        state: &'a State,
    ) -> Result<(&'a wgpu::Buffer, u64, u64), Error> {
        match place {
            Place::Workspace { offset, bytes } => Ok((&self.inner.workspace, *offset, *bytes)),
            Place::State(name) => {
                let slot = state.slot(name)?;
                Ok((&state.buffer, slot.offset, slot.bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wgrad_core::batch::Batch;
    use wgrad_core::{Mode, Var, Vars};

    use super::*;

    #[test]
    fn states_that_are_gone_are_let_go_of() {
        let gpu = Gpu::new().expect("an adapter");
        let program = gpu.compile(Mode::Train, |g| [g.var(&Var::step()) + 1.0]).unwrap();
        let mut states = [0, 1].map(|seed| gpu.init(&Vars::new(), seed).unwrap());
        states.iter_mut().for_each(|state| drop(program.run(state, Batch::new()).unwrap()));
        let [kept, gone] = states.each_ref().map(|state| Arc::downgrade(&program.launch(state).unwrap()));
        let [mut state, other] = states;
        drop(other);
        program.run(&mut state, Batch::new()).unwrap();
        assert!(kept.upgrade().is_some() && gone.upgrade().is_none());
        drop(state);
        assert!(gpu.reclaim() && kept.upgrade().is_none() && !gpu.reclaim());
    }
}
