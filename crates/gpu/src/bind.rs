//! Bind groups: which part of which buffer each binding of each dispatch is, for one state. They are made when
//! a program first meets a state, and kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wgrad_core::Op;

use crate::codegen::{Bound, Word};
use crate::device::lock;
use crate::error::Error;
use crate::plan::Place;
use crate::program::{Dispatch, Program};
use crate::state::State;

impl Program {
    /// The bind groups for a state, made when a program first meets it.
    pub(crate) fn bind_groups(&self, state: &State) -> Result<Arc<Vec<wgpu::BindGroup>>, Error> {
        /// States whose bind groups are kept.
        const KEPT: usize = 4;
        let this = &self.inner;
        let mut known = lock(&this.groups);
        if let Some((_, groups)) = known.iter().find(|(id, _)| *id == state.id) {
            return Ok(groups.clone());
        }
        for node in &this.plan.recording.nodes {
            let Op::Variable(variable) = &node.op else { continue };
            let slot = state.slot(&variable.name)?;
            if slot.spec != variable.spec {
                let message = format!("it is {} in the state, {} in the program", slot.spec, variable.spec);
                return Err(Error::Variable { name: variable.name.to_string(), message });
            }
        }
        let groups =
            this.dispatches.iter().map(|dispatch| self.bind(dispatch, state)).collect::<Result<_, _>>()?;
        let groups: Arc<Vec<wgpu::BindGroup>> = Arc::new(groups);
        known.push_back((state.id, groups.clone()));
        if known.len() > KEPT {
            known.pop_front();
        }
        Ok(groups)
    }

    fn bind(&self, dispatch: &Dispatch, state: &State) -> Result<wgpu::BindGroup, Error> {
        let gpu = &self.inner.gpu;
        let resolve = |bound: &Bound| match bound {
            Bound::Tensor(place) => self.locate(place, state),
            Bound::State(places) | Bound::Workspace(places) => self.span(places, state, bound),
            Bound::Table(words) => {
                let table = self.table(words, &dispatch.bindings, state)?;
                let bytes = table.size();
                Ok((table, 0, bytes))
            }
        };
        let parts = dispatch.bindings.iter().map(resolve).collect::<Result<Vec<_>, Error>>()?;
        let entries: Vec<wgpu::BindGroupEntry<'_>> = parts.iter().enumerate().map(entry).collect();
        gpu.inner.count.bind_groups.fetch_add(1, Ordering::Relaxed);
        let descriptor =
            wgpu::BindGroupDescriptor { label: None, layout: &dispatch.pipeline.layout, entries: &entries };
        Ok(gpu.inner.device.create_bind_group(&descriptor))
    }

    /// The smallest range of one buffer that holds all of the places.
    fn span(
        &self,
        places: &[Place],
        state: &State,
        bound: &Bound,
    ) -> Result<(wgpu::Buffer, u64, u64), Error> {
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
        Ok((buffer.clone(), range.0, bytes))
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
    pub(crate) fn locate(&self, place: &Place, state: &State) -> Result<(wgpu::Buffer, u64, u64), Error> {
        match place {
            Place::Workspace { offset, bytes } => Ok((self.inner.workspace.clone(), *offset, *bytes)),
            Place::State(name) => {
                let slot = state.slot(name)?;
                Ok((state.buffer.clone(), slot.offset, slot.bytes))
            }
        }
    }
}

fn entry((number, part): (usize, &(wgpu::Buffer, u64, u64))) -> wgpu::BindGroupEntry<'_> {
    let (buffer, offset, bytes) = part;
    let range = wgpu::BufferBinding { buffer, offset: *offset, size: wgpu::BufferSize::new(*bytes) };
    wgpu::BindGroupEntry { binding: number as u32, resource: wgpu::BindingResource::Buffer(range) }
}
