//! A cursor that cannot read past its end.

/// A message that is not what the protocol says. Carries no bytes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(pub &'static str);

/// Reads big-endian integers, strings and byte runs from one message body.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    name: &'static str,
}

impl<'a> Reader<'a> {
    /// `name`: what is being read, for the error.
    pub fn new(body: &'a [u8], name: &'static str) -> Reader<'a> {
        Reader { rest: body, name }
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(Malformed(self.name))?;
        self.rest = tail;
        Ok(head)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        let (head, tail) = self.rest.split_first().ok_or(Malformed(self.name))?;
        self.rest = tail;
        Ok(*head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Malformed(self.name))?;
        self.rest = tail;
        Ok(*head)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// A zero-terminated string, without its zero.
    pub fn cstr(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(Malformed(self.name))?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Left-over bytes are an error.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed(self.name)) }
    }
}
