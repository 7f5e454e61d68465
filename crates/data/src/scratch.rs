//! A record of another dataset in ordinary memory, for datasets that change it on its way.

use wgrad_core::TensorSpec;
use wgrad_core::batch::{Field, HostMemory, Layout};

use crate::record::Visit;
use crate::{DataError, Dataset, Record};

pub(crate) struct Scratch {
    layout: Layout,
    memory: HostMemory,
}

impl Scratch {
    /// Lets a dataset write one of its records. Its random numbers are those of the visit.
    pub(crate) fn of(data: &impl Dataset, visit: Visit) -> Result<Self, DataError> {
        let layout = data.fields().into_iter().fold(Layout::new(), |layout, (name, spec)| {
            let shape = [&[1], &spec.shape[..]].concat();
            layout.field(&name, TensorSpec::new(spec.dtype, shape))
        });
        let mut memory = HostMemory(vec![0; layout.bytes()]);
        let mut record = Record::new(&layout, &mut memory);
        record.start(0, visit);
        data.write(visit.record, &mut record)?;
        record.finish()?;
        Ok(Self { layout, memory })
    }

    /// The fields, the batch axis of 1 in front.
    pub(crate) fn fields(&self) -> &[Field] {
        self.layout.fields()
    }

    /// The bytes of a field.
    pub(crate) fn bytes(&self, field: &Field) -> &[u8] {
        &self.memory.0[field.offset..field.offset + field.spec.bytes()]
    }

    /// The values of an f32 field.
    pub(crate) fn floats(&self, field: &Field) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(self.bytes(field))
    }

    /// Writes all fields but one to the place of the record that is really being written.
    pub(crate) fn copy_except(&self, left_out: &str, sink: &mut Record<'_>) -> Result<(), DataError> {
        let mut others = self.fields().iter().filter(|field| field.name != left_out);
        others.try_for_each(|field| sink.write_bytes(&field.name, field.spec.dtype, self.bytes(field)))
    }
}
