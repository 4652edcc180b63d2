//! One parameter of a client that stands for values of several domains: `email = $1 OR phone = $1`. To the
//! server it is several, since each domain has another sealed form of the value; the client does not notice.
//! What is sealed in one place and plain in another stays refused: the value would go to the server legibly.

use std::collections::HashMap;

use super::super::refusal::{Proven, refuse};
use super::classes::{Class, Classes, End, Meaning, Place, State, conflict, same_domain};
use crate::catalog::{Base, FieldId, Logical};

/// What became of parameters whose places were told apart.
#[derive(Default)]
pub(super) struct Apart {
    /// The client's number of each parameter that only the server has.
    pub(super) given: HashMap<u16, u16>,
    /// Where a parameter begins that has another number at the server, and that number.
    pub(super) renumbered: Vec<(usize, u16)>,
}

/// Places of one parameter that mean the same.
struct Alike {
    array: bool,
    class: Class,
    starts: Vec<usize>,
}

impl<'a> Classes<'a> {
    /// Every place of a parameter is a value by itself.
    pub(in crate::statement) fn tell_places_apart(&mut self) {
        self.apart = Some(Vec::new());
    }

    /// Lays together the places of each parameter that mean the same; gives a number of its own to each other
    /// meaning.
    ///
    /// # Errors
    /// One stands for what can be no one value: sealed and not, an array and a member of it, or of two types.
    pub(super) fn join_places(&mut self) -> Proven<Apart> {
        let Some(mut places) = self.apart.take() else { return Ok(Apart::default()) };
        places.sort_by_key(|place| (place.number, place.start));
        let mut last = places.iter().map(|place| place.number).max().unwrap_or(0);
        let mut apart = Apart::default();
        for own in places.chunk_by(|one, other| one.number == other.number) {
            let Some(number) = own.first().map(|place| place.number) else { continue };
            let told = format!("${number}");
            let alike = self.alike(own, &told)?;
            let several = alike.len() > 1 && self.is_one_type(&alike);
            for (index, group) in alike.into_iter().enumerate() {
                let numbered = if index == 0 || self.sealed(group.class).is_none() {
                    number
                } else {
                    if !several {
                        return Err(conflict(Some(&told), "values of several kinds"));
                    }
                    last = last.checked_add(1).ok_or_else(|| {
                        refuse("too-costly", "a statement has too many parameters", "Send it in parts.")
                    })?;
                    apart.given.insert(last, number);
                    apart.renumbered.extend(group.starts.iter().map(|start| (*start, last)));
                    last
                };
                self.ends.insert(End::Parameter { number: numbered, array: group.array }, group.class);
            }
        }
        Ok(apart)
    }

    /// The places of one parameter by what they mean, what is sealed first. What is undecided is a value of the
    /// domain of the first sealed one.
    fn alike(&mut self, own: &[Place], told: &str) -> Proven<Vec<Alike>> {
        let mut all: Vec<Alike> = Vec::new();
        let (sealed, others): (Vec<&Place>, Vec<&Place>) =
            own.iter().partition(|place| self.sealed(place.class).is_some());
        for place in &sealed {
            self.join(place, &mut all, told)?;
        }
        let Some(first) = sealed.first() else {
            // To the server it is one value: what is plain in one place is so in all.
            for place in others {
                match all.iter().find(|group| group.array == place.array).map(|group| group.class) {
                    Some(class) => self.unite(class, place.class)?,
                    None => all.push(Alike { array: place.array, class: place.class, starts: Vec::new() }),
                }
            }
            return Ok(all);
        };
        for place in others {
            if matches!(self.state(place.class).meaning, Meaning::Plain) {
                return Err(conflict(Some(told), "a sealed value and for another one"));
            }
            if place.array != first.array {
                return Err(conflict(Some(told), "a value and for an array of them"));
            }
            let fields = self.sealed(first.class).unwrap_or_default();
            self.seal(place.class, &fields)?;
            self.join(place, &mut all, told)?;
        }
        Ok(all)
    }

    /// Lays a place to those that mean the same.
    fn join(&mut self, place: &Place, all: &mut Vec<Alike>, told: &str) -> Proven<()> {
        let own = self.state(place.class).clone();
        for group in all.iter_mut() {
            let known = self.state(group.class).clone();
            if !self.means_the_same(&own, &known) {
                continue;
            }
            if group.array != place.array {
                return Err(conflict(Some(told), "a value and for an array of them"));
            }
            group.starts.push(place.start);
            return self.unite(group.class, place.class);
        }
        all.push(Alike { array: place.array, class: place.class, starts: vec![place.start] });
        Ok(())
    }

    /// Is the same sealed for both?
    fn means_the_same(&self, one: &State, other: &State) -> bool {
        let same_kind = match (&one.meaning, &other.meaning) {
            (Meaning::Sealed(one), Meaning::Sealed(other)) => same_domain(self.snapshot, one, other),
            (Meaning::Undecided, Meaning::Undecided) | (Meaning::Plain, Meaning::Plain) => true,
            _ => false,
        };
        let none = |of: &State| of.folds.as_ref().is_none_or(Vec::is_empty);
        same_kind
            && (one.folds == other.folds || none(one) && none(other))
            && (one.given, &one.own, one.torn) == (other.given, &other.own, other.torn)
            && (one.exactly, one.like, one.as_text) == (other.exactly, other.like, other.as_text)
    }

    /// Would the server take one value for all of these?
    fn is_one_type(&mut self, all: &[Alike]) -> bool {
        let array = all.first().map(|group| group.array);
        let mut types = Vec::new();
        for group in all {
            let state = self.state(group.class).clone();
            let Meaning::Sealed(fields) = &state.meaning else { return false };
            let of = |id: &FieldId| self.snapshot.field(*id).map(|field| (field.logical, field.own.clone()));
            match state.given {
                Some(cast) => types.push(Some((cast, None))),
                None => types.extend(fields.iter().map(of)),
            }
            if state.own.is_some() || Some(group.array) != array {
                return false;
            }
        }
        let as_text =
            |of: &Logical| of.is_text() && !of.array && !matches!(of.base, Base::Bpchar | Base::Citext);
        let Some(Some(first)) = types.first() else { return false };
        types.iter().all(|other| {
            other.as_ref().is_some_and(|other| {
                other == first
                    || first.1.is_none() && other.1.is_none() && as_text(&first.0) && as_text(&other.0)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::statement::claims::{check_refused, check_supported};

    #[test]
    fn one_parameter_is_several_where_it_stands_for_values_of_several_domains() {
        check_supported(&[
            ("SELECT id FROM customers WHERE email = $1 OR city = $1", "s:ec $1@e $2@c"),
            ("SELECT id FROM customers WHERE city = $1 AND id = $3 OR email = $1", "s:ec $1@c $4@e"),
            ("SELECT id FROM customers WHERE email = ANY($1) OR city = ANY($1)", "s:ec $1[]@e $2[]@c"),
            ("UPDATE customers SET email = $01, phone = $1 WHERE id = $2", "w:ep $1@e $3@p"),
            ("INSERT INTO customers (id, email, city) VALUES ($2, $1, $1)", "w:ec $1@e $3@c"),
            ("SELECT id FROM customers WHERE $1 IS NULL OR city = $1 OR email = $1", "s:ec $1@c $2@e"),
            ("SELECT id FROM customers WHERE ($1 = '' OR email = $1) AND city <> $1", "s:ec ''@e $1@e $2@c"),
            ("SELECT id FROM customers WHERE email = lower($1) OR email = $1", "s:e $1@e $2@e"),
            ("SELECT id FROM customers WHERE $1 = '' OR email = lower($1)", "s:e ''@e $1@e $2@e"),
            ("SELECT id FROM customers WHERE email = $1 OR email = $1::varchar(3)", "s:e $1@e $2@e"),
            (
                "INSERT INTO customers (id, email) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET email = $1::varchar(2)",
                "w:e $1@e $2@e",
            ),
            (
                "UPDATE customers SET email = $1, city = $1, note = $2 WHERE $2 IS NULL OR id = 1",
                "w:ec $1@e $3@c",
            ),
            (
                "UPDATE customers SET email = $1, city = $1 WHERE $2 IS NULL OR note = $2 OR $2 = ''",
                "w:ec $1@e $3@c",
            ),
            ("DECLARE c CURSOR FOR SELECT id FROM customers WHERE email = $1 OR city = $1", "s:ec $1@e $2@c"),
        ]);
    }

    #[test]
    fn what_is_plain_in_one_place_and_what_is_of_two_types_stays_refused() {
        check_refused(&[
            ("SELECT id FROM customers WHERE email = $1 OR city = $1 OR note = $1", "parameter-conflict"),
            ("SELECT id FROM customers WHERE note = $1 OR city = $1 OR email = $1", "parameter-conflict"),
            ("SELECT id, $1 FROM customers WHERE city = $1 OR email = $1", "parameter-conflict"),
            ("SELECT id FROM customers WHERE email = $1 OR city = ANY($1)", "parameter-conflict"),
            ("SELECT id FROM customers WHERE email = $1 OR city = $1 LIMIT $1", "parameter-conflict"),
            (
                "PREPARE p(text) AS SELECT id FROM customers WHERE email = $1 OR city = $1",
                "parameter-conflict",
            ),
        ]);
    }
}
