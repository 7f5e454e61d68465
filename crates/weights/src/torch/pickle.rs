//! A machine for the instructions of Python's pickle that state dicts are written in. It builds tuples,
//! lists, dicts and tensors; nothing is imported, and nothing called but the functions it knows.
//!
//! The instructions are documented in CPython's `Lib/pickletools.py`.

use std::collections::HashMap;

use super::object::{Global, Heap, Object, Storage, Tensor, Value};
use crate::WeightsError;

const FORMAT: &str = "PyTorch";

/// How many values, and bytes of names, may be copied for each byte of a pickle. State dicts need about one;
/// a pickle that calls functions with the same long tuple again and again is a trap.
const COPIES: usize = 8;

/// What one pickle holds, and where it ends.
pub(super) struct Unpickled<'a> {
    pub(super) heap: Heap<'a>,
    pub(super) root: Value,
    pub(super) end: usize,
    /// Every storage that was asked for.
    pub(super) storages: Vec<Storage>,
}

/// Runs a pickle that begins at `start`.
pub(super) fn unpickle(bytes: &[u8], start: usize) -> Result<Unpickled<'_>, WeightsError> {
    let heap = Heap { pickle: bytes, objects: vec![] };
    let (stack, marks, memo, storages) = (vec![], vec![], HashMap::new(), vec![]);
    let copies = bytes.len().saturating_mul(COPIES);
    let mut machine = Machine { heap, at: start, stack, marks, memo, storages, copies };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                let Machine { heap, at: end, storages, .. } = machine;
                return Ok(Unpickled { heap, root, end, storages });
            }
            Err(Refusal::Global(name)) => return Err(WeightsError::Global { name }),
            Err(Refusal::Malformed(problem)) => {
                return Err(WeightsError::damaged(FORMAT, format!("{problem} (at byte {at} of the pickle)")));
            }
        }
    }
}

enum Refusal {
    Malformed(String),
    Global(String),
}

impl From<&str> for Refusal {
    fn from(problem: &str) -> Self {
        Self::Malformed(problem.into())
    }
}

const ENDS: &str = "it ends early";
const EMPTY: &str = "an instruction lacks its operands";

struct Machine<'a> {
    heap: Heap<'a>,
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack that tuples and groups of items begin at.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    storages: Vec<Storage>,
    /// How much may still be copied.
    copies: usize,
}

impl Machine<'_> {
    /// One instruction; the result, if it was the last.
    fn step(&mut self) -> Result<Option<Value>, Refusal> {
        let [opcode] = self.read()?;
        match opcode {
            b'.' => return Ok(Some(self.pop()?)),        // STOP
            0x80 => drop(self.read::<1>()?),             // PROTO
            0x95 => drop(self.read::<8>()?),             // FRAME
            b'(' => self.marks.push(self.stack.len()),   // MARK
            b'N' => self.stack.push(Value::None),        // NONE
            0x88 => self.stack.push(Value::Bool(true)),  // NEWTRUE
            0x89 => self.stack.push(Value::Bool(false)), // NEWFALSE
            b'K' | b'M' | b'J' | 0x8a | 0x8b => self.integer(opcode)?,
            b'G' => {
                self.read::<8>()?; // BINFLOAT
                self.stack.push(Value::Other);
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e => self.text(opcode)?,
            b')' | b']' => self.push(Object::List(vec![])), // EMPTY_TUPLE, EMPTY_LIST
            b'}' => self.push(Object::Dict(vec![])),        // EMPTY_DICT
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?, // TUPLE1, TUPLE2, TUPLE3
            b't' => {
                let items = self.pop_mark()?; // TUPLE
                self.push(Object::List(items));
            }
            b'q' | b'r' | 0x94 => self.remember(opcode)?,
            b'h' | b'j' => self.recall(opcode)?,
            b'a' | b'e' => self.append(opcode)?,
            b's' | b'u' => self.set_items(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'R' => self.reduce()?,     // REDUCE
            b'b' => drop(self.pop()?),  // BUILD: attributes of dicts and parameters, such as versions
            b'Q' => self.persistent()?, // BINPERSID
            other => {
                return Err(Refusal::Malformed(format!("{other:#04x} is no instruction of a state dict")));
            }
        }
        Ok(None)
    }

    fn copy(&mut self, items: usize) -> Result<(), Refusal> {
        self.copies = self.copies.checked_sub(items).ok_or("it copies its objects without end")?;
        Ok(())
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let rest = self.heap.pickle.get(self.at..).ok_or(ENDS)?;
        let word = rest.first_chunk::<N>().ok_or(ENDS)?;
        self.at += N;
        Ok(*word)
    }

    fn pop(&mut self) -> Result<Value, Refusal> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(EMPTY.into());
        }
        Ok(self.stack.pop().ok_or(EMPTY)?)
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>, Refusal> {
        let mark = self.marks.pop().ok_or(EMPTY)?;
        Ok(self.stack.split_off(mark))
    }

    fn push(&mut self, object: Object) {
        self.stack.push(Value::Object(self.heap.objects.len()));
        self.heap.objects.push(object);
    }

    /// BININT1, BININT2, BININT, LONG1, LONG4.
    fn integer(&mut self, opcode: u8) -> Result<(), Refusal> {
        let value = match opcode {
            b'K' => Value::Int(self.read::<1>()?[0].into()),
            b'M' => Value::Int(u16::from_le_bytes(self.read()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(self.read()?).into()),
            _ => {
                let length = match opcode {
                    0x8a => self.read::<1>()?[0].into(),
                    _ => u32::from_le_bytes(self.read()?) as usize,
                };
                let (start, end) = self.skip(length)?;
                long(&self.heap.pickle[start..end])
            }
        };
        self.stack.push(value);
        Ok(())
    }

    /// Passes over bytes and returns where they lie.
    fn skip(&mut self, length: usize) -> Result<(usize, usize), Refusal> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.heap.pickle.len()).ok_or(ENDS)?;
        Ok((std::mem::replace(&mut self.at, end), end))
    }

    /// BINUNICODE and BINBYTES with lengths of one, four and eight bytes, and Python 2's strings.
    fn text(&mut self, opcode: u8) -> Result<(), Refusal> {
        let length = match opcode {
            0x8c | b'U' | b'C' => self.read::<1>()?[0].into(),
            b'X' | b'T' | b'B' => u32::from_le_bytes(self.read()?) as usize,
            _ => usize::try_from(u64::from_le_bytes(self.read()?)).map_err(|_| ENDS)?,
        };
        let (start, end) = self.skip(length)?;
        self.stack.push(Value::Text { start, end });
        Ok(())
    }

    fn tuple(&mut self, length: usize) -> Result<(), Refusal> {
        let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Object::List(items));
        Ok(())
    }

    /// BINPUT, LONG_BINPUT, MEMOIZE.
    fn remember(&mut self, opcode: u8) -> Result<(), Refusal> {
        let key = match opcode {
            b'q' => self.read::<1>()?[0].into(),
            b'r' => u32::from_le_bytes(self.read()?),
            _ => self.memo.len() as u32,
        };
        let value = *self.stack.last().ok_or(EMPTY)?;
        self.memo.insert(key, value);
        Ok(())
    }

    /// BINGET, LONG_BINGET.
    fn recall(&mut self, opcode: u8) -> Result<(), Refusal> {
        let key = match opcode {
            b'h' => self.read::<1>()?[0].into(),
            _ => u32::from_le_bytes(self.read()?),
        };
        self.stack.push(*self.memo.get(&key).ok_or("it refers to something that it has not made")?);
        Ok(())
    }

    /// The container on top of the stack, to put something into.
    fn container(&mut self) -> Result<&mut Object, Refusal> {
        match self.stack.last() {
            Some(&Value::Object(at)) => Ok(self.heap.objects.get_mut(at).ok_or(EMPTY)?),
            _ => Err("it puts an item into something that is no container".into()),
        }
    }

    /// APPEND, APPENDS.
    fn append(&mut self, opcode: u8) -> Result<(), Refusal> {
        let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
        match self.container()? {
            Object::List(list) => list.extend(items),
            _ => return Err("it appends to something that is no list".into()),
        }
        Ok(())
    }

    /// SETITEM, SETITEMS.
    fn set_items(&mut self, opcode: u8) -> Result<(), Refusal> {
        let items = if opcode == b's' {
            let (value, key) = (self.pop()?, self.pop()?);
            vec![key, value]
        } else {
            self.pop_mark()?
        };
        match self.container()? {
            Object::Dict(dict) if items.len() % 2 == 0 => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("it sets items of something that is no dict".into()),
        }
        Ok(())
    }

    /// GLOBAL, whose names stand in two lines, and STACK_GLOBAL.
    fn global(&mut self, opcode: u8) -> Result<(), Refusal> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            (self.heap.text(module).ok_or(EMPTY)?.into(), self.heap.text(name).ok_or(EMPTY)?.into())
        };
        let global = Global::named(&module, &name);
        self.stack.push(Value::Global(global.ok_or_else(|| Refusal::Global(format!("{module}.{name}")))?));
        Ok(())
    }

    fn line(&mut self) -> Result<String, Refusal> {
        let rest = self.heap.pickle.get(self.at..).ok_or(ENDS)?;
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(ENDS)?;
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    /// Calls one of the known functions.
    fn reduce(&mut self) -> Result<(), Refusal> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let count = self.heap.list(arguments).ok_or("it calls a function without a tuple")?.len();
        self.copy(count)?;
        let arguments = self.heap.list(arguments).unwrap_or_default().to_vec();
        match (callee, &arguments[..]) {
            (Value::Global(Global::OrderedDict), []) => self.push(Object::Dict(vec![])),
            (Value::Global(Global::OrderedDict), &[items]) => {
                self.copy(self.heap.list(items).map_or(0, <[Value]>::len))?;
                let pairs = self.heap.list(items).and_then(|pairs| {
                    let pair = |&pair: &Value| self.heap.list(pair)?.first_chunk::<2>().map(|p| (p[0], p[1]));
                    pairs.iter().map(pair).collect::<Option<Vec<_>>>()
                });
                self.push(Object::Dict(pairs.ok_or("an ordered dict is not made of pairs")?));
            }
            (Value::Global(Global::RebuildTensor), &[storage, offset, shape, strides, ..]) => {
                let axes = [shape, strides].map(|value| self.heap.list(value).map_or(0, <[Value]>::len));
                let name = match self.heap.object(storage) {
                    Some(Object::Storage(storage)) => storage.key.len(),
                    _ => 0,
                };
                self.copy(axes[0] + axes[1] + name)?;
                let tensor = self.tensor(storage, offset, shape, strides);
                self.push(Object::Tensor(tensor.ok_or("a tensor has no storage, or no shape")?));
            }
            (Value::Global(Global::RebuildParameter), &[data, ..]) => self.stack.push(data),
            (Value::Global(Global::Size), &[extents]) => self.stack.push(extents),
            _ => return Err("it calls something that is no function of a state dict".into()),
        }
        Ok(())
    }

    fn tensor(&self, storage: Value, offset: Value, shape: Value, strides: Value) -> Option<Tensor> {
        let Object::Storage(storage) = self.heap.object(storage)? else { return None };
        let (shape, strides) = (self.heap.indices(shape)?, self.heap.indices(strides)?);
        let offset = self.heap.index(offset)?;
        (shape.len() == strides.len()).then(|| Tensor { storage: storage.clone(), offset, shape, strides })
    }

    /// A storage, referred to by the tuple that the instruction takes.
    fn persistent(&mut self) -> Result<(), Refusal> {
        let id = self.pop()?;
        let storage = self.storage(id).ok_or("it refers to something that is no storage")?;
        self.copy(2 * storage.key.len())?;
        self.storages.push(storage.clone());
        self.push(Object::Storage(storage));
        Ok(())
    }

    fn storage(&self, id: Value) -> Option<Storage> {
        let &[kind, Value::Global(Global::Storage(stored)), key, _device, _elements, ref view @ ..] =
            self.heap.list(id)?
        else {
            return None;
        };
        let offset = match view {
            [] | [Value::None] => 0,
            [view] => self.heap.index(*self.heap.list(*view)?.get(1)?)?,
            _ => return None,
        };
        let key = self.heap.text(key)?.to_string();
        (self.heap.text(kind)? == "storage").then_some(Storage { stored, key, offset })
    }
}

/// A little-endian two's complement integer of any length.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Other;
    }
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut word = [if negative { 0xff } else { 0 }; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(word))
}
