//! Reads CTranslate2's `model.bin`: the form in which Whisper's weights are to be had as ordinary packages.
//!
//! Binary version 6, little-endian: version, name of the model's kind, revision, then named variables (shape, type, data)
//! and aliases. Pure: bytes in, borrowed tensors out. It never copies weights, and must never panic or allocate by
//! a number that the file claims: every length is checked against what is there first.

use std::collections::BTreeMap;

/// Type of a variable's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// Signed byte (quantised weights, or a flag).
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// 16-bit float.
    F16,
}

impl Element {
    fn from_code(code: u8) -> Option<Element> {
        [Element::F32, Element::I8, Element::I16, Element::I32, Element::F16].get(usize::from(code)).copied()
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Element::I8 => 1,
            Element::I16 | Element::F16 => 2,
            Element::F32 | Element::I32 => 4,
        }
    }
}

/// One variable; its data is still in the file's bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<'a> {
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Type of each element.
    pub element: Element,
    /// Little-endian elements, last extent fastest.
    pub data: &'a [u8],
}

/// Why a file is no CTranslate2 model that can be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The file ends before what it announces.
    #[error("the CTranslate2 model ends at byte {at} in the middle of {what}")]
    Truncated {
        /// Offset in bytes at which more was needed.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// Something in it contradicts itself or the format.
    #[error("the CTranslate2 model is damaged: {0}")]
    Damaged(String),
    /// A well-formed model of another version or kind.
    #[error("the CTranslate2 model is {found}, but only {wanted} can be converted")]
    Unsupported {
        /// What it is.
        found: String,
        /// What is understood.
        wanted: &'static str,
    },
    /// The model lacks a variable that Whisper has, or it has another shape.
    #[error("the CTranslate2 model's variable {name} {problem}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The list of tokens does not fit the model.
    #[error("the vocabulary does not fit the model: {0}")]
    Vocabulary(String),
}

/// A parsed model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model<'a> {
    variables: BTreeMap<&'a str, Tensor<'a>>,
}

const VERSION: u32 = 6;
const KIND: &str = "WhisperSpec";
/// No variable of Whisper has more extents than a convolution's three.
const MAX_RANK: usize = 4;

impl<'a> Model<'a> {
    /// Parses a whole file.
    pub fn parse(bytes: &'a [u8]) -> Result<Model<'a>, ModelError> {
        let mut reader = Reader { bytes, at: 0 };
        let version = reader.u32("the version")?;
        if version != VERSION {
            return Err(unsupported(format!("of binary version {version}"), "version 6"));
        }
        let kind = reader.string("the model's kind")?;
        if kind != KIND {
            return Err(unsupported(format!("a {kind:?}"), "a WhisperSpec"));
        }
        reader.u32("the revision")?;
        let count = reader.u32("the number of variables")?;
        let mut variables = BTreeMap::new();
        for _ in 0..count {
            let (name, tensor) = reader.variable()?;
            if variables.insert(name, tensor).is_some() {
                return Err(ModelError::Damaged(format!("variable {name} is there twice")));
            }
        }
        reader.aliases(&mut variables)?;
        match bytes.len() - reader.at {
            0 => Ok(Model { variables }),
            rest => Err(ModelError::Damaged(format!("{rest} bytes follow its end"))),
        }
    }

    /// A variable by its full name, `encoder/conv1/bias`.
    pub fn get(&self, name: &str) -> Result<&Tensor<'a>, ModelError> {
        self.variables.get(name).ok_or_else(|| variable(name, "is missing".into()))
    }

    /// A variable that must have this shape.
    pub fn shaped(&self, name: &str, shape: &[usize]) -> Result<&Tensor<'a>, ModelError> {
        let tensor = self.get(name)?;
        match tensor.shape == shape {
            true => Ok(tensor),
            false => Err(variable(name, format!("has the shape {:?} instead of {shape:?}", tensor.shape))),
        }
    }

    /// A scalar integer, such as a number of heads.
    pub fn integer(&self, name: &str) -> Result<i64, ModelError> {
        let tensor = self.shaped(name, &[])?;
        match (tensor.element, tensor.data) {
            (Element::I8, &[a]) => Ok(i64::from(a.cast_signed())),
            (Element::I16, &[a, b]) => Ok(i64::from(i16::from_le_bytes([a, b]))),
            (Element::I32, &[a, b, c, d]) => Ok(i64::from(i32::from_le_bytes([a, b, c, d]))),
            _ => Err(variable(name, "is no whole number".into())),
        }
    }

    /// How many layers a stack has: `prefix/layer_0`, `prefix/layer_1`, … without a gap.
    pub fn layers(&self, prefix: &str) -> usize {
        let present = |n: &usize| {
            let start = format!("{prefix}/layer_{n}/");
            self.variables.range(start.as_str()..).next().is_some_and(|(name, _)| name.starts_with(&start))
        };
        (0..self.variables.len()).take_while(present).count()
    }
}

fn unsupported(found: String, wanted: &'static str) -> ModelError {
    ModelError::Unsupported { found, wanted }
}

fn variable(name: &str, problem: String) -> ModelError {
    ModelError::Variable { name: name.into(), problem }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], ModelError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(ModelError::Truncated { at: self.bytes.len(), what })?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ModelError> {
        self.take(N, what)?.try_into().map_err(|_| ModelError::Truncated { at: self.at, what })
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, ModelError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, ModelError> {
        self.array(what).map(u16::from_le_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, ModelError> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn length(&mut self, what: &'static str) -> Result<usize, ModelError> {
        let length = self.u32(what)?;
        usize::try_from(length).map_err(|_| ModelError::Damaged(format!("{what} is {length}")))
    }

    /// A name: its length counts the closing zero byte.
    fn string(&mut self, what: &'static str) -> Result<&'a str, ModelError> {
        let length = usize::from(self.u16(what)?);
        let bytes = self.take(length, what)?;
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        std::str::from_utf8(text).map_err(|_| ModelError::Damaged(format!("{what} is not UTF-8")))
    }

    fn variable(&mut self) -> Result<(&'a str, Tensor<'a>), ModelError> {
        let name = self.string("a variable's name")?;
        let rank = usize::from(self.u8("a variable's rank")?);
        if rank > MAX_RANK {
            return Err(ModelError::Damaged(format!("variable {name} claims {rank} dimensions")));
        }
        let shape = (0..rank).map(|_| self.length("a variable's shape")).collect::<Result<Vec<_>, _>>()?;
        let code = self.u8("a variable's type")?;
        let element = Element::from_code(code)
            .ok_or_else(|| ModelError::Damaged(format!("variable {name} has the unknown type {code}")))?;
        let length = self.length("a variable's length")?;
        let wanted = shape.iter().try_fold(element.size(), |product, extent| product.checked_mul(*extent));
        if wanted != Some(length) {
            return Err(ModelError::Damaged(format!("variable {name} of shape {shape:?} claims {length} bytes")));
        }
        let data = self.take(length, "a variable's data")?;
        Ok((name, Tensor { shape, element, data }))
    }

    fn aliases(&mut self, variables: &mut BTreeMap<&'a str, Tensor<'a>>) -> Result<(), ModelError> {
        let count = self.u32("the number of aliases")?;
        for _ in 0..count {
            let alias = self.string("an alias")?;
            let target = self.string("an alias's target")?;
            let tensor = variables.get(target).cloned();
            let tensor =
                tensor.ok_or_else(|| ModelError::Damaged(format!("alias {alias} points to no variable {target}")))?;
            variables.insert(alias, tensor);
        }
        Ok(())
    }
}

/// Writes a model in the same format, for tests of this module and of the conversion.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod builder {
    use super::Element;

    /// Name, shape, element type and data of one variable.
    pub(crate) type Variable = (String, Vec<u32>, Element, Vec<u8>);

    /// The whole file.
    pub(crate) fn file(variables: &[Variable], aliases: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = 6u32.to_le_bytes().to_vec();
        string(&mut bytes, "WhisperSpec");
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(u32::try_from(variables.len()).unwrap().to_le_bytes());
        for (name, shape, element, data) in variables {
            string(&mut bytes, name);
            bytes.push(u8::try_from(shape.len()).unwrap());
            shape.iter().for_each(|extent| bytes.extend(extent.to_le_bytes()));
            bytes.push(match element {
                Element::F32 => 0,
                Element::I8 => 1,
                Element::I16 => 2,
                Element::I32 => 3,
                Element::F16 => 4,
            });
            bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            bytes.extend(data);
        }
        bytes.extend(u32::try_from(aliases.len()).unwrap().to_le_bytes());
        for (alias, target) in aliases {
            string(&mut bytes, alias);
            string(&mut bytes, target);
        }
        bytes
    }

    fn string(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend(u16::try_from(text.len() + 1).unwrap().to_le_bytes());
        bytes.extend(text.bytes());
        bytes.push(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn small() -> Vec<u8> {
        let variables = [
            ("encoder/layer_0/a".into(), vec![2, 3], Element::F16, vec![7; 12]),
            ("encoder/layer_1/a".into(), vec![1], Element::F32, vec![0, 0, 128, 63]),
            ("encoder/num_heads".into(), vec![], Element::I16, vec![6, 0]),
        ];
        builder::file(&variables, &[("projection", "encoder/layer_0/a")])
    }

    #[test]
    fn reads_variables_scalars_and_aliases() {
        let bytes = small();
        let model = Model::parse(&bytes).unwrap();
        assert_eq!(model.get("projection").unwrap().shape, [2, 3]);
        assert_eq!(model.integer("encoder/num_heads").unwrap(), 6);
        assert_eq!(model.layers("encoder"), 2);
        assert_eq!(model.layers("decoder"), 0);
    }

    #[test]
    fn names_what_is_missing_or_misshapen() {
        let bytes = small();
        let model = Model::parse(&bytes).unwrap();
        assert_eq!(model.get("x").unwrap_err().to_string(), "the CTranslate2 model's variable x is missing");
        let error = model.shaped("projection", &[3, 2]).unwrap_err().to_string();
        assert!(error.ends_with("projection has the shape [2, 3] instead of [3, 2]"), "{error}");
        assert!(model.integer("encoder/layer_1/a").is_err());
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = small();
        for length in 0..bytes.len() {
            let error = Model::parse(&bytes[..length]).unwrap_err();
            assert!(matches!(error, ModelError::Truncated { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic() {
        let bytes = small();
        for place in 0..bytes.len() {
            for value in [0, 1, 127, 128, 255] {
                let mut damaged = bytes.clone();
                damaged[place] = value;
                let _ = Model::parse(&damaged);
            }
        }
    }

    #[test]
    fn other_versions_kinds_and_trailing_bytes_are_refused() {
        let mut other = small();
        other[0] = 5;
        assert!(Model::parse(&other).unwrap_err().to_string().contains("binary version 5"));
        let mut longer = small();
        longer.push(0);
        assert!(matches!(Model::parse(&longer), Err(ModelError::Damaged(_))));
        assert!(Model::parse(&[]).is_err());
    }
}
