//! The words of a SPIR-V module.

use spirv::Op;

/// First word behind the header (SPIR-V 1.6, section 2.3, "Physical Layout of a SPIR-V Module").
pub(super) const HEADER: usize = 5;
pub(super) const VERSION: usize = 1;
pub(super) const BOUND: usize = 3;

/// The instructions of a module: what they do, and their operands.
pub(super) fn instructions(words: &[u32]) -> impl Iterator<Item = (u32, &[u32])> {
    let mut rest = words.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (first, _) = rest.split_first()?;
        let (instruction, behind) = rest.split_at_checked((first >> 16).max(1) as usize)?;
        rest = behind;
        Some((first & 0xffff, &instruction[1..]))
    })
}

/// A module that is written from another one.
pub(super) struct Writer {
    words: Vec<u32>,
}

impl Writer {
    /// With the header of the other.
    pub(super) fn new(words: &[u32]) -> Self {
        Self { words: words[..HEADER].to_vec() }
    }

    /// A name that nothing has yet.
    pub(super) fn id(&mut self) -> u32 {
        self.words[BOUND] += 1;
        self.words[BOUND] - 1
    }

    pub(super) fn write(&mut self, op: Op, operands: &[u32]) {
        self.copy(op as u32, operands);
    }

    pub(super) fn copy(&mut self, op: u32, operands: &[u32]) {
        self.words.push(op | (operands.len() as u32 + 1) << 16);
        self.words.extend_from_slice(operands);
    }

    pub(super) fn finish(self) -> Vec<u32> {
        self.words
    }
}

#[cfg(test)]
pub(super) mod test {
    use naga::back::spv;
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    use super::*;

    pub(in super::super) fn spirv(wgsl: &str, version: (u8, u8)) -> Vec<u32> {
        let module = naga::front::wgsl::parse_str(wgsl).unwrap();
        let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap();
        let flags = spv::WriterFlags::empty();
        let options =
            spv::Options { lang_version: version, flags, force_loop_bounding: false, ..Default::default() };
        spv::write_vec(&module, &info, &options, None).unwrap()
    }

    pub(in super::super) fn count(words: &[u32], op: Op) -> usize {
        instructions(words).filter(|(this, _)| *this == op as u32).count()
    }
}
