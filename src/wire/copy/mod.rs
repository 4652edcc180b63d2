//! The three forms of COPY's data: where a row ends, what its fields are, and how a value is written.
//! As the server reads and writes them (`copyfromparse.c`, `copyto.c`): chapter "COPY", "File Formats".

mod binary;
#[cfg(test)]
mod tests;
mod text;

/// How the data of one COPY is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    pub layout: Layout,
    pub header: Header,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    Text { delimiter: u8, null: Box<[u8]>, default: Option<Box<[u8]>> },
    Csv(Box<Csv>),
    Binary,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Csv {
    pub delimiter: u8,
    pub null: Box<[u8]>,
    pub default: Option<Box<[u8]>>,
    pub quote: u8,
    pub escape: u8,
    /// By column, in the order of the data; beyond its end: no.
    pub force_quote: Box<[bool]>,
    pub force_null: Box<[bool]>,
    pub force_not_null: Box<[bool]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    No,
    Yes,
    /// The names in it are compared.
    Match,
}

/// What stands at the head of the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A row of so many bytes, and so many behind it that end its line.
    Row(usize, usize),
    /// What the binary form begins with.
    Preamble(usize),
    /// The end that the data itself tells: so many bytes.
    End(usize),
    /// More must come.
    More,
}

/// The data is none of this form. Nothing of it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken(pub &'static str);

/// One field of a row.
#[derive(Debug)]
pub enum Value<'a> {
    Null,
    Default,
    Given(Plain<'a>),
}

/// What a field means.
#[derive(Debug)]
pub enum Plain<'a> {
    /// What stands there.
    Stands(&'a [u8]),
    /// What its escapes and quotes come to.
    Read(zeroize::Zeroizing<Vec<u8>>),
}

impl std::ops::Deref for Plain<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Plain::Stands(bytes) => bytes,
            Plain::Read(bytes) => bytes,
        }
    }
}

/// Finds rows in data that comes in pieces. It looks at each byte once.
#[derive(Debug)]
pub struct Rows {
    began: bool,
    /// In CSV, too, a line `\.` ends the data, as it did before version 18.
    dot_ends: bool,
    line_end: Option<LineEnd>,
    scan: Scan,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LineEnd {
    Feed,
    Return,
    Both,
}

/// Where the search in the row that is not whole yet has come.
#[derive(Clone, Copy, Default, Debug)]
struct Scan {
    at: usize,
    in_quote: bool,
    escaped: bool,
}

impl Rows {
    #[must_use]
    pub fn new(dot_ends: bool) -> Rows {
        Rows { began: false, dot_ends, line_end: None, scan: Scan::default() }
    }

    /// Has it told of anything yet?
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.began
    }

    /// What stands at the head of `data`, which goes on where the last piece ended. `ended`: nothing
    /// comes behind it.
    ///
    /// # Errors
    /// It is not of this form.
    pub fn next(&mut self, format: &Format, data: &[u8], ended: bool) -> Result<Piece, Broken> {
        let piece = match &format.layout {
            Layout::Binary => binary::piece(data, self.began)?,
            Layout::Text { .. } => self.line(data, ended, None)?,
            Layout::Csv(csv) => self.line(data, ended, Some(csv))?,
        };
        if piece != Piece::More {
            self.began = true;
            self.scan = Scan::default();
        }
        Ok(piece)
    }
}

impl Format {
    /// Are the marks of this form ASCII? They stand in the data in its own encoding.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        let marks =
            |null: &[u8], default: Option<&[u8]>| null.is_ascii() && default.is_none_or(<[u8]>::is_ascii);
        match &self.layout {
            Layout::Binary => true,
            Layout::Text { null, default, .. } => marks(null, default.as_deref()),
            Layout::Csv(csv) => marks(&csv.null, csv.default.as_deref()),
        }
    }

    /// Has the data lines?
    #[must_use]
    pub fn has_lines(&self) -> bool {
        !matches!(self.layout, Layout::Binary)
    }

    /// Shows the fields of a row, without the end of its line, one after the other: their bytes as they stand, without what parts
    /// them, and what they mean. Returns how many there are.
    ///
    /// # Errors
    /// It is no row of this form.
    pub fn visit<'a, E: From<Broken>>(
        &self,
        row: &'a [u8],
        mut field: impl FnMut(usize, &'a [u8], Option<Value<'a>>) -> Result<(), E>,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<usize, E> {
        match &self.layout {
            Layout::Binary => binary::visit(row, &mut field, wanted),
            Layout::Text { delimiter, null, default } => {
                text::visit_text(row, *delimiter, null, default.as_deref(), &mut field, wanted)
            }
            Layout::Csv(csv) => text::visit_csv(row, csv, &mut field, wanted),
        }
    }

    /// How many fields a row has.
    ///
    /// # Errors
    /// It is no row of this form.
    pub fn count(&self, row: &[u8]) -> Result<usize, Broken> {
        self.visit(row, |_, _, _| Ok::<(), Broken>(()), |_| false)
    }

    /// Begins a row of so many fields.
    pub fn begin(&self, out: &mut Vec<u8>, fields: usize) {
        if let Layout::Binary = self.layout {
            out.extend_from_slice(&u16::try_from(fields).unwrap_or(u16::MAX).to_be_bytes());
        }
    }

    /// Writes a field as it stood.
    pub fn put_as_it_is(&self, out: &mut Vec<u8>, column: usize, raw: &[u8]) {
        self.part(out, column);
        out.extend_from_slice(raw);
    }

    /// Writes a value. `alone`: the row has no other.
    pub fn put(&self, out: &mut Vec<u8>, column: usize, value: &[u8], alone: bool) {
        self.part(out, column);
        match &self.layout {
            Layout::Binary => super::frontend::put_value(out, Some(value)),
            Layout::Text { delimiter, .. } => text::put_text(out, value, *delimiter),
            Layout::Csv(csv) => text::put_csv(out, value, csv, column, alone),
        }
    }

    /// Writes that there is no value.
    pub fn put_null(&self, out: &mut Vec<u8>, column: usize) {
        self.part(out, column);
        match &self.layout {
            Layout::Binary => super::frontend::put_value(out, None),
            Layout::Text { null, .. } => out.extend_from_slice(null),
            Layout::Csv(csv) => out.extend_from_slice(&csv.null),
        }
    }

    fn part(&self, out: &mut Vec<u8>, column: usize) {
        match &self.layout {
            Layout::Text { delimiter, .. } if column > 0 => out.push(*delimiter),
            Layout::Csv(csv) if column > 0 => out.push(csv.delimiter),
            Layout::Text { .. } | Layout::Csv(_) | Layout::Binary => {}
        }
    }
}
