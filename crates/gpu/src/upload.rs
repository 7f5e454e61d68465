//! Values from the host, written into a buffer outside of a step.
//!
//! `wgpu::Queue::write_buffer` would do, but takes its memory where no error scope reaches: when there is none left,
//! wgpu gives the whole device up for lost. Memory that is asked for like all other can be refused.

use crate::device::Gpu;
use crate::error::Error;

impl Gpu {
    /// Writes pieces of bytes, each at its offset, before whatever is submitted next. Offsets and lengths are
    /// multiples of 4.
    pub(crate) fn upload(&self, to: &wgpu::Buffer, pieces: &[(u64, &[u8])]) -> Result<(), Error> {
        let bytes: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
        if bytes == 0 {
            return Ok(());
        }
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let from = self.buffer_with("upload", bytes as u64, usage, true)?;
        let mapped = from.get_mapped_range_mut(..);
        let mut mapped =
            mapped.map_err(|error| Error::Driver { what: "a mapping".into(), message: error.to_string() })?;
        let mut encoder =
            self.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut start = 0;
        for (offset, piece) in pieces {
            mapped.slice(start..start + piece.len()).copy_from_slice(piece);
            encoder.copy_buffer_to_buffer(&from, start as u64, to, *offset, piece.len() as u64);
            start += piece.len();
        }
        drop(mapped);
        from.unmap();
        self.submit([encoder.finish()]);
        self.check()
    }
}
