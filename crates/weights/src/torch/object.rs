//! What a pickle of tensors is made of.

use crate::StoredType;

/// A value on the pickle machine's stack. Containers and tensors lie in a [`Heap`], where the machine can
/// still change them after it has handed them on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Bytes of the pickle, by their place in it.
    Text {
        start: usize,
        end: usize,
    },
    Global(Global),
    Object(usize),
    /// A value that is no part of a tensor: a float, a very long integer.
    Other,
}

/// The Python objects that a pickle may ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    /// `_rebuild_tensor_v2` and its older form.
    RebuildTensor,
    /// `_rebuild_parameter` and its form with state.
    RebuildParameter,
    Size,
    Storage(StoredType),
}

impl Global {
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
            ("torch", "Size") => Self::Size,
            ("torch" | "torch.cuda", _) => Self::Storage(match name {
                "DoubleStorage" => StoredType::F64,
                "FloatStorage" => StoredType::F32,
                "HalfStorage" => StoredType::F16,
                "BFloat16Storage" => StoredType::Bf16,
                "LongStorage" => StoredType::I64,
                "IntStorage" => StoredType::I32,
                "ShortStorage" => StoredType::I16,
                "CharStorage" => StoredType::I8,
                "ByteStorage" => StoredType::U8,
                "BoolStorage" => StoredType::Bool,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// The memory behind tensors: `("storage", type, key, device, elements, view)`.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) stored: StoredType,
    pub(super) key: String,
    /// Where a storage that is itself a part of another begins in it; in the older format only.
    pub(super) offset: usize,
}

/// A view of a storage; offset and strides in elements.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Object {
    /// A tuple or list.
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(Tensor),
}

/// How deep dicts and lists may nest: beyond any state dict, far within the stack of a thread.
const DEEPEST: usize = 32;
/// How many values, and bytes of their names, are looked at for each byte of a pickle before it counts as a
/// trap: one whose lists refer to each other holds exponentially many.
const MOST: usize = 64;

/// Everything that a pickle has built.
#[derive(Debug)]
pub(super) struct Heap<'a> {
    pub(super) pickle: &'a [u8],
    pub(super) objects: Vec<Object>,
}

impl<'a> Heap<'a> {
    /// The object that a value refers to.
    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(at) => self.objects.get(at),
            _ => None,
        }
    }

    pub(super) fn list(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text { start, end } => std::str::from_utf8(self.pickle.get(start..end)?).ok(),
            _ => None,
        }
    }

    pub(super) fn index(&self, value: Value) -> Option<usize> {
        match value {
            Value::Int(int) => usize::try_from(int).ok(),
            _ => None,
        }
    }

    /// A tuple of extents, strides or the like.
    pub(super) fn indices(&self, value: Value) -> Option<Vec<usize>> {
        self.list(value)?.iter().map(|&item| self.index(item)).collect()
    }

    /// The tensors below a value, each with the way to it as its name. Other values are passed over.
    pub(super) fn tensors(&self, root: Value) -> Result<Vec<(String, &Tensor)>, String> {
        let (mut found, mut left) = (vec![], self.pickle.len().saturating_mul(MOST));
        self.walk(root, "", DEEPEST, &mut left, &mut found)?;
        Ok(found)
    }

    fn walk<'b>(
        &'b self,
        value: Value,
        name: &str,
        depth: usize,
        left: &mut usize,
        found: &mut Vec<(String, &'b Tensor)>,
    ) -> Result<(), String> {
        let spent = left.checked_sub(1 + name.len()).zip(depth.checked_sub(1));
        let (rest, depth) = spent.ok_or("its objects nest without end")?;
        *left = rest;
        let child = |key: &str| if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
        match self.object(value) {
            Some(Object::Tensor(tensor)) => found.push((name.to_string(), tensor)),
            Some(Object::List(items)) => {
                for (index, &item) in items.iter().enumerate() {
                    if let Value::Object(_) = item {
                        self.walk(item, &child(&index.to_string()), depth, left, found)?;
                    }
                }
            }
            Some(Object::Dict(items)) => {
                for &(key, item) in items {
                    let Value::Object(_) = item else { continue };
                    let key = match key {
                        Value::Int(int) => int.to_string(),
                        _ => self.text(key).ok_or("a dict has a key that is no text")?.to_string(),
                    };
                    self.walk(item, &child(&key), depth, left, found)?;
                }
            }
            Some(Object::Storage(_)) | None => {}
        }
        Ok(())
    }
}
