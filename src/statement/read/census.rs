//! Every name, parameter and constant of a syntax tree, found without knowing the tree.
//!
//! The tree serialises itself, so this walk cannot forget a clause: whatever the grammar
//! puts anywhere is seen here. The walker of `flow` must account for all of it.

use serde::Serialize;
use serde::ser::{self, Impossible};

#[derive(Clone, PartialEq, Eq)]
pub(in crate::statement) struct RangeName {
    pub(in crate::statement) schema: String,
    pub(in crate::statement) name: String,
    pub(in crate::statement) location: i32,
    /// It is made here as a temporary relation.
    pub(in crate::statement) temporary: bool,
}

#[derive(Clone)]
pub(in crate::statement) struct NamePath {
    pub(in crate::statement) parts: Vec<String>,
    pub(in crate::statement) location: i32,
}

/// A constant, but for NULL, true and false, or a parameter.
pub(in crate::statement) struct Value {
    pub(in crate::statement) location: i32,
    /// Of a parameter: its number.
    pub(in crate::statement) number: Option<i32>,
    /// What it is compared with at once, where that is one column alone.
    pub(in crate::statement) beside: Option<String>,
    /// It stands in a condition, an order or a LIMIT: it goes no further than what it is compared by.
    pub(in crate::statement) compared: bool,
    /// Functions and operators between it and that place, innermost first; true: a function.
    pub(in crate::statement) through: Vec<(bool, NamePath)>,
}

/// Holds client text, so it has no `Debug`.
#[derive(Default)]
pub(in crate::statement) struct Census {
    pub(in crate::statement) ranges: Vec<RangeName>,
    pub(in crate::statement) columns: Vec<NamePath>,
    pub(in crate::statement) calls: Vec<NamePath>,
    /// Methods of TABLESAMPLE.
    pub(in crate::statement) samples: Vec<NamePath>,
    /// Number and location.
    pub(in crate::statement) parameters: Vec<(i32, i32)>,
    /// Locations of string and bit-string constants.
    pub(in crate::statement) strings: Vec<i32>,
    /// Every string of the tree that is not a constant: names, bodies, options.
    pub(in crate::statement) words: Vec<String>,
    /// The values of string constants.
    pub(in crate::statement) constants: Vec<String>,
    /// Strings of options, of which the tree does not say where they stand.
    pub(in crate::statement) options: Vec<String>,
    /// Names of field selections `(expression).name`.
    pub(in crate::statement) selections: Vec<String>,
    /// Operators and types: either may run a function.
    pub(in crate::statement) operators: Vec<NamePath>,
    pub(in crate::statement) types: Vec<NamePath>,
    /// Constants and parameters, and what each is given to.
    pub(in crate::statement) values: Vec<Value>,
    /// A `*` that is not that of `count(*)`.
    pub(in crate::statement) star: bool,
    /// It looks at other rows than its own (OVER).
    pub(in crate::statement) windows: bool,
    /// Parts that it names (WITH).
    pub(in crate::statement) parts: usize,
    /// Statements within it that write rows.
    pub(in crate::statement) writers: usize,
    /// Names that the statement itself gives: aliases, and those of outputs and of WITH.
    pub(in crate::statement) defined: Vec<String>,
    /// Names given to EXECUTE, wherever it stands.
    pub(in crate::statement) executes: Vec<String>,
    /// What each call of `set_config` sets. None: its name is no plain constant.
    pub(in crate::statement) settings: Vec<Option<String>>,
    /// The tree could not be walked to its end; nothing may be concluded.
    pub(in crate::statement) incomplete: bool,
}

/// Counts what is in `tree` (a node or a whole statement).
pub(in crate::statement) fn census(tree: &impl Serialize) -> Census {
    let mut counter = Counter::default();
    if tree.serialize(&mut counter).is_err() {
        counter.census.incomplete = true;
    }
    counter.census
}

/// One struct of the tree that is being walked.
struct Frame {
    name: &'static str,
    field: &'static str,
    location: i32,
    number: i32,
    schema: String,
    relation: String,
    parts: Vec<String>,
    is_string: bool,
    /// A constant that says something.
    is_value: bool,
    temporary: bool,
    /// Of an assignment of several columns at once, whose source the tree has once for each: which of
    /// them this is, and how many words there were before.
    column_number: i32,
    words_before: usize,
    /// Of an operator: its operand that is a column, places of its values among the census' own, and
    /// whether it has any other operand. What stands in a list is one.
    column: Option<String>,
    values: Vec<usize>,
    others: bool,
    /// Of a call: how many arguments there were so far, and the first, where it is a plain string.
    arguments: usize,
    first: Option<String>,
}

/// Where a value that only is compared stands: struct and field.
const CONDITIONS: [(&str, &str); 13] = [
    ("SelectStmt", "where_clause"),
    ("SelectStmt", "having_clause"),
    ("SelectStmt", "sort_clause"),
    ("SelectStmt", "group_clause"),
    ("SelectStmt", "limit_offset"),
    ("SelectStmt", "limit_count"),
    ("SelectStmt", "locking_clause"),
    ("UpdateStmt", "where_clause"),
    ("DeleteStmt", "where_clause"),
    ("JoinExpr", "quals"),
    ("OnConflictClause", "where_clause"),
    ("MergeStmt", "join_condition"),
    ("MergeWhenClause", "condition"),
];
/// Where a value ends up in a row, whichever condition that row is looked for in.
const ROWS: [(&str, &str); 7] = [
    ("SelectStmt", "target_list"),
    ("SelectStmt", "values_lists"),
    ("UpdateStmt", "target_list"),
    ("InsertStmt", "select_stmt"),
    ("OnConflictClause", "target_list"),
    ("MergeWhenClause", "values"),
    ("MergeWhenClause", "target_list"),
];

#[derive(Default)]
struct Counter {
    census: Census,
    frames: Vec<Frame>,
}

impl Counter {
    fn open(&mut self, name: &'static str) {
        if !matches!(name, "Node" | "List" | "String" | "ColumnRef" | "AConst" | "ParamRef")
            && let Some(operator) = self.operator()
        {
            operator.others = true;
        }
        if !matches!(name, "Node" | "List" | "String")
            && let Some(call) =
                self.frames.iter_mut().rev().find(|frame| !matches!(frame.name, "Node" | "List"))
            && (call.name, call.field) == ("FuncCall", "args")
        {
            call.arguments += 1;
        }
        self.frames.push(Frame {
            name,
            field: "",
            location: -1,
            number: 0,
            schema: String::new(),
            relation: String::new(),
            parts: Vec::new(),
            is_string: false,
            is_value: false,
            temporary: false,
            column_number: 0,
            words_before: self.census.words.len(),
            column: None,
            values: Vec::new(),
            others: false,
            arguments: 0,
            first: None,
        });
    }

    /// The operator of which what is walked now, inside of these structs, is an operand.
    fn operator(&mut self) -> Option<&mut Frame> {
        let around = self.frames.iter_mut().rev().find(|frame| !matches!(frame.name, "Node" | "List"));
        around.filter(|frame| frame.name == "AExpr")
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else {
            self.census.incomplete = true;
            return;
        };
        match frame.name {
            "RangeVar" => self.census.ranges.push(RangeName {
                schema: frame.schema,
                name: frame.relation,
                location: frame.location,
                temporary: frame.temporary,
            }),
            "ColumnRef" => {
                if let Some(operator) = self.operator() {
                    operator.others |= operator.column.is_some();
                    operator.column = Some(frame.parts.last().cloned().unwrap_or_default());
                }
                self.census.columns.push(NamePath { parts: frame.parts, location: frame.location });
            }
            "FuncCall" => {
                if frame.parts.last().is_some_and(|name| name == "set_config") {
                    self.census.settings.push(frame.first);
                }
                self.census.calls.push(NamePath { parts: frame.parts, location: frame.location });
            }
            "RangeTableSample" => {
                self.census.samples.push(NamePath { parts: frame.parts, location: frame.location });
            }
            "ParamRef" => {
                self.census.parameters.push((frame.number, frame.location));
                self.value(frame.location, Some(frame.number));
            }
            "AConst" => {
                if frame.is_string {
                    self.census.strings.push(frame.location);
                }
                if frame.is_value {
                    self.value(frame.location, None);
                }
            }
            "TypeName" | "AExpr" | "SubLink" | "SortBy" if frame.parts.is_empty() => {}
            "TypeName" => self.census.types.push(NamePath { parts: frame.parts, location: frame.location }),
            "AExpr" | "SubLink" | "SortBy" => {
                if let Some(column) = frame.column.filter(|_| !frame.others) {
                    for at in frame.values {
                        if let Some(value) = self.census.values.get_mut(at) {
                            value.beside = Some(column.clone());
                        }
                    }
                }
                self.census.operators.push(NamePath { parts: frame.parts, location: frame.location });
            }
            // In the text it stands once.
            "MultiAssignRef" if frame.column_number > 1 => self.census.words.truncate(frame.words_before),
            "AStar" => self.census.star = true,
            "WindowDef" => self.census.windows = true,
            "CommonTableExpr" => self.census.parts += 1,
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.census.writers += 1,
            _ => {}
        }
    }

    /// A value stands where the walk is now.
    fn value(&mut self, location: i32, number: Option<i32>) {
        let at = self.census.values.len();
        if let Some(operator) = self.operator() {
            operator.values.push(at);
        }
        let mut through = Vec::new();
        let mut compared = false;
        for frame in self.frames.iter().rev() {
            let place = (frame.name, frame.field);
            // The length of a type, and the like, are no values of anybody.
            if frame.name == "TypeName" {
                return;
            }
            if CONDITIONS.contains(&place) || ROWS.contains(&place) {
                compared = CONDITIONS.contains(&place);
                break;
            }
            let called = frame.name == "FuncCall";
            if called || matches!(frame.name, "AExpr" | "SubLink") {
                through.push((called, NamePath { parts: frame.parts.clone(), location: frame.location }));
            }
        }
        self.census.values.push(Value { location, number, beside: None, compared, through });
    }

    fn field(&mut self, name: &'static str) {
        if let Some(frame) = self.frames.last_mut() {
            frame.field = name;
        }
    }

    fn number(&mut self, value: i32) {
        if let Some(frame) = self.frames.last_mut() {
            match frame.field {
                "location" => frame.location = value,
                "number" => frame.number = value,
                "colno" => frame.column_number = value,
                _ => {}
            }
        }
    }

    /// The struct that owns the string now being walked: the one around `String`, with
    /// the transparent `Node` around that left out.
    fn owner(&mut self) -> Option<&mut Frame> {
        let transparent = ["String", "Node", "BitString"];
        self.frames.iter_mut().rev().find(|frame| !transparent.contains(&frame.name))
    }

    /// A string constant is walked, which may be the first argument of a call.
    fn argument(&mut self, value: &str) {
        let within = ["String", "Node", "List", "AConst"];
        if let Some(call) = self.frames.iter_mut().rev().find(|frame| !within.contains(&frame.name))
            && (call.name, call.field, call.arguments) == ("FuncCall", "args", 1)
        {
            call.first = Some(value.to_owned());
        }
    }

    fn string(&mut self, value: &str) {
        let key = self.frames.last().map_or("", |frame| frame.field);
        if key == "relpersistence" {
            if let Some(frame) = self.frames.last_mut() {
                frame.temporary = value == "t";
            }
            return;
        }
        if value.is_empty() {
            return;
        }
        let Some(owner) = self.owner() else {
            self.census.words.push(value.to_owned());
            return;
        };
        let owned_name = match (owner.name, owner.field) {
            ("AConst", _) => {
                owner.is_string = key == "sval" || key == "bsval";
                self.census.constants.push(value.to_owned());
                if key == "sval" {
                    self.argument(value);
                }
                return;
            }
            ("RangeVar", "schemaname") => {
                owner.schema = value.to_owned();
                None
            }
            ("RangeVar", "relname") => {
                owner.relation = value.to_owned();
                None
            }
            ("ColumnRef", "fields") | ("FuncCall", "funcname") | ("RangeTableSample", "method") => {
                owner.parts.push(value.to_owned());
                None
            }
            ("AExpr", "name") | ("SubLink", "oper_name") | ("SortBy", "use_op") | ("TypeName", "names") => {
                owner.parts.push(value.to_owned());
                None
            }
            ("Alias", "aliasname" | "colnames")
            | ("ResTarget", "name")
            | ("CommonTableExpr", "ctename" | "aliascolnames") => Some(&mut self.census.defined),
            ("AIndirection", "indirection") => Some(&mut self.census.selections),
            ("ExecuteStmt", "name") => Some(&mut self.census.executes),
            ("DefElem", "arg") => Some(&mut self.census.options),
            // No name of anything.
            owner if UNPLACED.contains(&owner) => {
                self.census.options.push(value.to_owned());
                return;
            }
            _ => None,
        };
        if let Some(list) = owned_name {
            list.push(value.to_owned());
        }
        self.census.words.push(value.to_owned());
    }
}

/// Strings beside options of which the tree does not say where they stand. Each stands in the text once.
const UNPLACED: [(&str, &str); 13] = [
    ("CommentStmt", "comment"),
    ("CreateEnumStmt", "vals"),
    ("AlterEnumStmt", "old_val"),
    ("AlterEnumStmt", "new_val"),
    ("AlterEnumStmt", "new_val_neighbor"),
    ("SecLabelStmt", "label"),
    ("NotifyStmt", "payload"),
    ("TransactionStmt", "gid"),
    ("LoadStmt", "filename"),
    ("CreateTableSpaceStmt", "location"),
    ("CreateForeignServerStmt", "servertype"),
    ("CreateForeignServerStmt", "version"),
    ("CreateSubscriptionStmt", "conninfo"),
];

/// The tree holds nothing that this walk cannot take; if it ever does, the walk says so.
pub(in crate::statement) struct Unwalkable;

impl std::fmt::Debug for Unwalkable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unwalkable")
    }
}

impl std::fmt::Display for Unwalkable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the syntax tree cannot be walked")
    }
}

impl std::error::Error for Unwalkable {}

impl ser::Error for Unwalkable {
    fn custom<T: std::fmt::Display>(_: T) -> Unwalkable {
        Unwalkable
    }
}

macro_rules! nothing_of {
    ($($method:ident: $kind:ty),* $(,)?) => {
        $(fn $method(self, _: $kind) -> Result<(), Unwalkable> { Ok(()) })*
    };
}

impl ser::Serializer for &mut Counter {
    type Ok = ();
    type Error = Unwalkable;
    type SerializeSeq = Self;
    type SerializeTuple = Impossible<(), Unwalkable>;
    type SerializeTupleStruct = Impossible<(), Unwalkable>;
    type SerializeTupleVariant = Impossible<(), Unwalkable>;
    type SerializeMap = Impossible<(), Unwalkable>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Unwalkable>;

    nothing_of! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_unit_struct: &'static str,
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unwalkable> {
        self.number(value);
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Unwalkable> {
        self.string(value);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unwalkable> {
        Err(Unwalkable)
    }

    fn serialize_none(self) -> Result<(), Unwalkable> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwalkable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwalkable> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Unwalkable> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwalkable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unwalkable> {
        // An empty string constant leaves no string behind: its kind is known here.
        if let Some(frame) = self.frames.last_mut() {
            frame.is_string |= matches!(variant, "Sval" | "Bsval");
            frame.is_value |= matches!(variant, "Sval" | "Bsval" | "Ival" | "Fval");
        }
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unwalkable> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unwalkable> {
        Err(Unwalkable)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unwalkable> {
        Err(Unwalkable)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unwalkable> {
        Err(Unwalkable)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unwalkable> {
        Err(Unwalkable)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self, Unwalkable> {
        self.open(name);
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unwalkable> {
        Err(Unwalkable)
    }
}

impl ser::SerializeSeq for &mut Counter {
    type Ok = ();
    type Error = Unwalkable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwalkable> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unwalkable> {
        Ok(())
    }
}

impl ser::SerializeStruct for &mut Counter {
    type Ok = ();
    type Error = Unwalkable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unwalkable> {
        self.field(name);
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unwalkable> {
        self.close();
        Ok(())
    }
}
