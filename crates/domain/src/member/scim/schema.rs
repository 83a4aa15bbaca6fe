//! The attributes that are kept, as a table; the documents that describe them to clients are made from it.
//!
//! INVARIANT: what a directory knows about people beyond this (telephone numbers, addresses, managers, passwords) is
//! passed over without a word, as RFC 7644, section 3.3, lets a provider do, and is never stored.

use super::filter::Path;

/// A type of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A person.
    User,
    /// Several people.
    Group,
}

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text.
    Text,
    /// Yes or no.
    Bool,
    /// The address of another resource.
    Reference,
    /// A moment, RFC 3339.
    Time,
    /// Values under names.
    Complex,
}

/// Who may say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// The client, at any time.
    ReadWrite,
    /// The client, once.
    Immutable,
    /// We alone.
    ReadOnly,
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, in the protocol's case.
    pub name: &'static str,
    /// The form of its values.
    pub form: Form,
    /// Whether it has several values.
    pub is_multi: bool,
    /// Whether it must be there.
    pub is_required: bool,
    /// Whether upper and lower case are different.
    pub is_exact: bool,
    /// Whether no two resources of a tenant have the same value.
    pub is_unique: bool,
    /// Who may say it.
    pub mutability: Mutability,
    /// What a complex value consists of.
    pub parts: &'static [Self],
    /// Values that are usual.
    pub usual: &'static [&'static str],
    /// What a reference may lead to.
    pub leads_to: &'static [&'static str],
    /// For people.
    pub about: &'static str,
}

const fn text(name: &'static str, about: &'static str) -> Attribute {
    Attribute {
        name,
        form: Form::Text,
        is_multi: false,
        is_required: false,
        is_exact: false,
        is_unique: false,
        mutability: Mutability::ReadWrite,
        parts: &[],
        usual: &[],
        leads_to: &[],
        about,
    }
}

const fn fixed(attribute: Attribute) -> Attribute {
    Attribute { mutability: Mutability::ReadOnly, ..attribute }
}

const fn complex(name: &'static str, about: &'static str, parts: &'static [Attribute]) -> Attribute {
    Attribute { form: Form::Complex, parts, ..text(name, about) }
}

const fn many(name: &'static str, about: &'static str, parts: &'static [Attribute]) -> Attribute {
    Attribute { is_multi: true, ..complex(name, about, parts) }
}

const PRIMARY: Attribute = Attribute { form: Form::Bool, ..text("primary", "Whether it is the preferred one.") };

/// What every resource has. Not part of a schema (RFC 7643, section 3.1).
pub const COMMON: &[Attribute] = &[
    Attribute { is_exact: true, ..fixed(text("id", "Ours; never changes.")) },
    Attribute { is_exact: true, ..text("externalId", "What the directory calls the resource.") },
    fixed(complex(
        "meta",
        "About the resource.",
        &[
            Attribute { is_exact: true, ..fixed(text("resourceType", "User or Group.")) },
            Attribute { form: Form::Time, ..fixed(text("created", "Since when it is here.")) },
            Attribute { form: Form::Time, ..fixed(text("lastModified", "The last change.")) },
            Attribute { form: Form::Reference, is_exact: true, ..fixed(text("location", "Its address.")) },
            Attribute { is_exact: true, ..fixed(text("version", "Its ETag.")) },
        ],
    )),
];

const USER: &[Attribute] = &[
    Attribute {
        is_required: true,
        is_unique: true,
        ..text("userName", "What the directory calls the person to people.")
    },
    complex(
        "name",
        "The person's name.",
        &[
            text("formatted", "The whole name."),
            text("familyName", "The family's name."),
            text("givenName", "The given name."),
            text("middleName", "Further names."),
            text("honorificPrefix", "What stands before the name."),
            text("honorificSuffix", "What stands behind the name."),
        ],
    ),
    text("displayName", "The name as it is shown."),
    Attribute {
        form: Form::Bool,
        ..text("active", "Whether the person may be a member. Without it, membership and role are gone at once.")
    },
    many(
        "emails",
        "The person's addresses. The primary one is the member's.",
        &[
            text("value", "The address."),
            text("display", "The address as it is shown."),
            Attribute { usual: &["work", "home", "other"], ..text("type", "What it is for.") },
            PRIMARY,
        ],
    ),
    fixed(many(
        "roles",
        "What the person holds in the tenant. Groups decide, as the tenant's admins map them.",
        &[fixed(text("value", "The role.")), fixed(PRIMARY)],
    )),
    fixed(many(
        "groups",
        "The groups that the person is in.",
        &[
            fixed(text("value", "The group's id.")),
            Attribute { form: Form::Reference, leads_to: &["Group"], ..fixed(text("$ref", "The group's address.")) },
            fixed(text("display", "The group's name.")),
        ],
    )),
];

const GROUP: &[Attribute] = &[
    Attribute { is_required: true, is_unique: true, ..text("displayName", "The group's name.") },
    many(
        "members",
        "Who is in the group. Users only.",
        &[
            Attribute { mutability: Mutability::Immutable, ..text("value", "The user's id.") },
            Attribute {
                form: Form::Reference,
                leads_to: &["User"],
                mutability: Mutability::Immutable,
                ..text("$ref", "The user's address.")
            },
            Attribute { mutability: Mutability::Immutable, usual: &["User"], ..text("type", "User.") },
        ],
    ),
];

/// Attributes of the standard that are known and not kept.
const PASSED_OVER: &[&str] = &[
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "password",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "x509Certificates",
];

/// Where names are looked up: the attributes of a resource, or the parts of a complex value.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    lists: [&'static [Attribute]; 2],
    /// The schema that may stand before a name.
    schema: Option<&'static str>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// An attribute, and the part of it that was named.
    Known(&'static Attribute, Option<&'static Attribute>),
    /// Something of the standard or of an extension that is not kept.
    PassedOver,
    /// Nothing.
    Unknown,
}

impl Scope {
    /// The parts of a complex value.
    #[must_use]
    pub const fn of_parts(attribute: &'static Attribute) -> Self {
        Self { lists: [attribute.parts, &[]], schema: None }
    }

    /// The attribute of a name, in whatever case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.lists.into_iter().flatten().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }

    /// What a path stands for.
    #[must_use]
    pub fn find(&self, path: &Path) -> Found {
        if let Some(urn) = &path.urn
            && !self.schema.is_some_and(|schema| schema.eq_ignore_ascii_case(urn))
        {
            return Found::PassedOver;
        }
        let Some(attribute) = self.attribute(&path.name) else {
            let is_known = PASSED_OVER.iter().any(|name| name.eq_ignore_ascii_case(&path.name));
            return if is_known && self.schema.is_some() { Found::PassedOver } else { Found::Unknown };
        };
        let Some(part) = &path.part else { return Found::Known(attribute, None) };
        match Self::of_parts(attribute).attribute(part) {
            Some(part) => Found::Known(attribute, Some(part)),
            None => Found::Unknown,
        }
    }
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The protocol's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// The last part of the address of all of them.
    #[must_use]
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    /// The schema's name.
    #[must_use]
    pub const fn schema(self) -> &'static str {
        match self {
            Self::User => "urn:ietf:params:scim:schemas:core:2.0:User",
            Self::Group => "urn:ietf:params:scim:schemas:core:2.0:Group",
        }
    }

    /// The attributes of the schema.
    #[must_use]
    pub const fn attributes(self) -> &'static [Attribute] {
        match self {
            Self::User => USER,
            Self::Group => GROUP,
        }
    }

    /// Where its names are looked up.
    #[must_use]
    pub const fn scope(self) -> Scope {
        Scope { lists: [COMMON, self.attributes()], schema: Some(self.schema()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_extensions_are_passed_over() {
        let find = |text: &str| Kind::User.scope().find(&Path::parse(text).unwrap());
        assert!(matches!(find("USERNAME"), Found::Known(found, None) if found.name == "userName"));
        assert!(matches!(find("urn:ietf:params:scim:schemas:core:2.0:user:name.FAMILYNAME"),
            Found::Known(found, Some(part)) if found.name == "name" && part.name == "familyName"));
        assert!(matches!(find("meta.lastModified"), Found::Known(_, Some(_))));
        for passed in
            ["password", "phoneNumbers.value", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"]
        {
            assert_eq!(find(passed), Found::PassedOver, "{passed}");
        }
        assert_eq!((find("role"), find("name.tenant")), (Found::Unknown, Found::Unknown));
    }

    #[test]
    fn nothing_that_decides_rights_is_the_clients_to_say() {
        for kind in Kind::ALL {
            for attribute in kind.attributes() {
                let is_ours = matches!(attribute.name, "roles" | "groups");
                assert_eq!(attribute.mutability == Mutability::ReadOnly, is_ours, "{}", attribute.name);
                assert!(!attribute.name.to_lowercase().contains("password"));
            }
        }
    }
}
