//! The fields of a protobuf message, as they are on the wire.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A number of fixed size, which no field of Kubernetes' kinds here has.
    Fixed,
}

/// The bytes are no message: they end in the middle of a field, or say what protobuf does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// The fields of a message, one after another; nothing follows one that is broken.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Content<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(Broken);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Content<'a>)> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => self.bytes(8).map(|_| Content::Fixed)?,
            2 => {
                let length = self.varint()?;
                Content::Bytes(self.bytes(usize::try_from(length).ok()?)?)
            }
            5 => self.bytes(4).map(|_| Content::Fixed)?,
            _ => return None,
        };
        let number = tag >> 3;
        (number != 0).then_some((number, content))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// The numbers of a list that is packed into one field.
pub(super) fn packed(bytes: &[u8]) -> Result<Vec<u64>, Broken> {
    let (mut rest, mut numbers) = (Fields(bytes), Vec::new());
    while !rest.0.is_empty() {
        numbers.push(rest.varint().ok_or(Broken)?);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_until_one_is_broken() {
        let read = |bytes: &[u8]| {
            Fields(bytes).map(|field| field.ok().map(|(number, _)| number)).collect::<Vec<_>>()
        };
        for (bytes, expected) in [
            (&[][..], vec![]),
            (&[0x08, 0x96, 0x01, 0x12, 0x01, b'a'], vec![Some(1), Some(2)]),
            (&[0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4], vec![Some(1), Some(2)]),
            (&[0x08, 0, 0x12, 2, b'a'], vec![Some(1), None]),
            (&[0x08], vec![None]),
            (&[0x00, 1, 0x08, 1], vec![None]),
            (&[0x0b, 0x0c], vec![None]),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], vec![None]),
        ] {
            assert_eq!(read(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn numbers_may_be_packed() {
        assert_eq!(packed(&[1, 0x96, 0x01]), Ok(vec![1, 150]));
        assert_eq!(packed(&[1, 0x96]), Err(Broken));
    }
}
