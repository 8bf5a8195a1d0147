//! Which keys a type has, asked of its `Deserialize`: what serde derives names the fields of every struct.
use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

/// The shape of what is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Schema {
    /// Text, numbers, and what nobody reads.
    Any,
    List(Box<Schema>),
    /// Keys of the user's own.
    Map(Box<Schema>),
    /// Keys of the specification.
    Object(Vec<(&'static str, Schema)>),
}

/// Parts of config.json for other platforms, and two that oci-spec has where the specification has none: not ours to judge.
pub const FOREIGN: &[&str] = &["solaris", "windows", "vm", "zos", "freebsd", "uidMappings", "gidMappings"];

impl Schema {
    pub(super) fn of<T: DeserializeOwned>() -> Schema {
        let mut schema = Schema::Any;
        let asked = T::deserialize(Asked(&mut schema));
        debug_assert!(asked.is_ok(), "{:?}", asked.err());
        if let Schema::Object(fields) = &mut schema {
            let foreign = fields.iter_mut().filter(|(name, _)| FOREIGN.contains(name));
            foreign.for_each(|(_, field)| *field = Schema::Any);
        }
        schema
    }

    /// Every key of the specification's in it.
    #[cfg(test)]
    pub(super) fn keys(&self, found: &mut std::collections::BTreeSet<&'static str>) {
        match self {
            Schema::Any => {}
            Schema::List(item) | Schema::Map(item) => item.keys(found),
            Schema::Object(fields) => fields.iter().for_each(|(name, field)| {
                found.insert(name);
                field.keys(found);
            }),
        }
    }
}

/// Gives a type one of everything, and takes note of what it asks for.
struct Asked<'a>(&'a mut Schema);

fn text() -> StrDeserializer<'static, Error> {
    // Also a list of processors, the only text that is looked at while it is read.
    "0".into_deserializer()
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Numbers among others: this one fits every width.
        visitor.visit_u8(0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(false)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        text().deserialize_str(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        text().deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut item = Schema::Any;
        let visited = visitor.visit_seq(One(Some(&mut item)));
        *self.0 = Schema::List(Box::new(item));
        visited
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut members = Members { names: ["0"].iter(), name: "", found: Vec::new() };
        let visited = visitor.visit_map(&mut members);
        *self.0 = Schema::Map(Box::new(members.found.pop().map_or(Schema::Any, |(_, value)| value)));
        visited
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut members = Members { names: fields.iter(), name: "", found: Vec::new() };
        let visited = visitor.visit_map(&mut members);
        *self.0 = Schema::Object(members.found);
        visited
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let first = variants.first().ok_or_else(|| Error::custom("an enum without variants"))?;
        let first: StrDeserializer<'_, Error> = first.into_deserializer();
        first.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

/// A list of one, or of none where that one cannot be text like any other.
struct One<'a>(Option<&'a mut Schema>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        Ok(self.0.take().and_then(|item| seed.deserialize(Asked(item)).ok()))
    }
}

/// One member of every name.
struct Members<'a> {
    names: std::slice::Iter<'a, &'static str>,
    name: &'static str,
    found: Vec<(&'static str, Schema)>,
}

impl<'de> MapAccess<'de> for &mut Members<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(name) = self.names.next() else { return Ok(None) };
        self.name = name;
        let key: StrDeserializer<'_, Error> = name.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let mut value = Schema::Any;
        let visited = seed.deserialize(Asked(&mut value));
        self.found.push((self.name, value));
        visited
    }
}
