//! Protocol-buffer messages, written field by field: the few that event files are made of need no more
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A message under construction. A field is left out by not calling its method.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(Vec<u8>);

/// How a field's value is laid out.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// An integer, an enumeration or a bool.
    pub(crate) fn integer(mut self, field: u32, value: u64) -> Self {
        self.key(field, Wire::Varint);
        self.varint(value);
        self
    }

    pub(crate) fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, Wire::Fixed64);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, Wire::Fixed32);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Bytes or text.
    pub(crate) fn bytes(mut self, field: u32, value: impl AsRef<[u8]>) -> Self {
        self.key(field, Wire::Length);
        self.varint(value.as_ref().len() as u64);
        self.0.extend(value.as_ref());
        self
    }

    pub(crate) fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, value.0)
    }

    /// Repeated doubles, packed.
    pub(crate) fn doubles(self, field: u32, values: &[f64]) -> Self {
        self.bytes(field, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }

    fn key(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field << 3 | wire as u32));
    }

    /// Seven bits a byte, the lowest first; all but the last byte have the highest bit set.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the encoding's own documentation.
    #[test]
    fn fields_are_encoded_as_documented() {
        assert_eq!(Message::new().integer(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        let text = Message::new().bytes(2, "testing");
        assert_eq!(text.into_bytes(), b"\x12\x07testing");
        let nested = Message::new().message(3, Message::new().integer(1, 150));
        assert_eq!(nested.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let largest = Message::new().integer(16, u64::MAX).into_bytes();
        assert_eq!(largest[..3], [0x80, 0x01, 0xff]);
        assert_eq!((largest.len(), largest.last()), (12, Some(&0x01)));
    }

    #[test]
    fn numbers_are_little_endian() {
        assert_eq!(Message::new().float(2, 1.0).into_bytes(), [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::new().double(1, -2.0).into_bytes(), [0x09, 0, 0, 0, 0, 0, 0, 0, 0xc0]);
        let packed = Message::new().doubles(6, &[1.0, 2.0]).into_bytes();
        assert_eq!((packed.len(), packed[0], packed[1]), (18, 0x32, 16));
    }
}
