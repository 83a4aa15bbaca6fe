//! Puts a question into the form that Cedar evaluates: a request, and the few entities that it mentions.
//!
//! INVARIANT: what is built here conforms to the product's schema for every [`Question`]. Nothing is checked per
//! decision; `rules.rs` has the schema check the widest and the barest question of every action when a bundle is
//! loaded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression as Expr, Schema,
};
use serde_json::Value;
use tenantry_domain::Timestamp;

use crate::action;
use crate::question::{Question, QuestionError, Resource, TenantFacts};
use crate::settings::{Settings, Windows};
use crate::window::{Window, WindowError};

/// Names of the entity types, read once.
#[derive(Debug, Clone)]
pub struct Names {
    principal: EntityTypeName,
    tenant: EntityTypeName,
    environment: EntityTypeName,
    object: EntityTypeName,
    settings: EntityTypeName,
    action: EntityTypeName,
}

/// A question in Cedar's form.
pub struct Facts {
    /// Who, what, which, and the circumstances.
    pub request: Request,
    /// The entities that the request mentions.
    pub entities: Entities,
    /// What rules can name that the question is about: principal, resource and the resource's ancestors.
    pub named: Vec<EntityUid>,
}

/// The sort of resource, as rules' scopes tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    /// `Tenantry::Tenant`.
    Tenant,
    /// `Tenantry::Environment`.
    Environment,
    /// `Tenantry::Object`.
    Object,
}

impl Sort {
    /// All sorts.
    pub const ALL: [Self; 3] = [Self::Tenant, Self::Environment, Self::Object];

    /// That of a resource.
    pub const fn of(resource: &Resource) -> Self {
        match resource {
            Resource::Tenant(_) => Self::Tenant,
            Resource::Environment(_) => Self::Environment,
            Resource::Object(_) => Self::Object,
        }
    }
}

impl Names {
    /// Reads them; that they can be read is shown by every test.
    pub fn new() -> Option<Self> {
        let name = |word: &str| format!("Tenantry::{word}").parse::<EntityTypeName>().ok();
        Some(Self {
            principal: name("Principal")?,
            tenant: name("Tenant")?,
            environment: name("Environment")?,
            object: name("Object")?,
            settings: name("Settings")?,
            action: name("Action")?,
        })
    }

    /// The type of a sort of resource.
    pub const fn of(&self, sort: Sort) -> &EntityTypeName {
        match sort {
            Sort::Tenant => &self.tenant,
            Sort::Environment => &self.environment,
            Sort::Object => &self.object,
        }
    }

    /// The type of principals.
    pub const fn principal(&self) -> &EntityTypeName {
        &self.principal
    }

    /// An action, or a group of them.
    pub fn action(&self, name: &str) -> EntityUid {
        uid(&self.action, name)
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// What does not change from question to question: the settings as an entity, the actions, the windows.
#[derive(Debug, Clone)]
pub struct Ground {
    names: Names,
    settings: Entity,
    values: Value,
    /// The settings and an action, by the action: to add the few entities that a question brings takes a third of the time of
    /// putting all of them together.
    stages: HashMap<&'static str, Entities>,
    windows: Vec<(String, Vec<Window>)>,
    /// The last moment that was put, by its second: to make one is a fifth of a decision.
    moment: Arc<ArcSwapOption<(i64, Expr)>>,
}

/// Settings that cannot be put to rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroundError {
    /// A value of the settings has no counterpart in rules.
    #[error("`{0}` is neither text, whole number, boolean, list nor table")]
    Value(String),
    /// A window is none.
    #[error("window `{name}`: {source}")]
    Window {
        /// Its name.
        name: String,
        /// What is wrong.
        source: WindowError,
    },
    /// The settings cannot be put into an entity.
    #[error("the settings cannot be put to the rules")]
    Unfit,
}

impl Ground {
    /// Prepares them.
    ///
    /// # Errors
    /// See [`GroundError`].
    pub fn new(settings: &Settings, windows: &Windows) -> Result<Self, GroundError> {
        let names = Names::new().ok_or(GroundError::Unfit)?;
        let value = serde_json::to_value(settings).map_err(|_| GroundError::Unfit)?;
        let attributes = match &value {
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| Ok((key.clone(), expression(&format!("settings.{key}"), value)?)))
                .collect::<Result<HashMap<_, _>, _>>()?,
            _ => HashMap::new(),
        };
        let settings =
            Entity::new(uid(&names.settings, "current"), attributes, HashSet::new()).map_err(|_| GroundError::Unfit)?;
        let stages = action::ACTIONS
            .iter()
            .map(|(name, groups)| {
                let parents = groups.iter().map(|group| names.action(group)).collect();
                let action = Entity::new_no_attrs(names.action(name), parents);
                let stage = Entities::from_entities([settings.clone(), action], None);
                stage.map(|stage| (*name, stage)).map_err(|_| GroundError::Unfit)
            })
            .collect::<Result<_, _>>()?;
        let windows = windows
            .iter()
            .map(|(name, texts)| {
                let parse = |text: &String| Window::parse(text);
                let parsed = texts.iter().map(parse).collect::<Result<Vec<_>, _>>();
                parsed
                    .map(|parsed| (name.clone(), parsed))
                    .map_err(|source| GroundError::Window { name: name.clone(), source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { names, settings, values: value, stages, windows, moment: Arc::default() })
    }

    /// Names of the entity types.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// The settings, as rules see them.
    pub const fn values(&self) -> &Value {
        &self.values
    }

    /// Puts a question. With a schema, everything is checked against it.
    ///
    /// # Errors
    /// The question is out of bounds, or does not conform to the schema.
    pub fn put(&self, question: &Question, schema: Option<&Schema>) -> Result<Facts, QuestionError> {
        question.check()?;
        let name = question.principal.name();
        let principal = self.principal(question, &name)?;
        let (resource, around, environment) = self.resource(&question.resource)?;
        let named: Vec<_> =
            [principal.uid(), resource.uid()].into_iter().chain(around.iter().map(Entity::uid)).collect();
        let context = self.context(question, &name, environment)?;
        let (who, which) = (named[0].clone(), named[1].clone());
        let action = self.names.action(&question.action);
        let request = Request::new(who, action, which, context, schema).map_err(|_| QuestionError::Unfit)?;
        let brought = [principal, resource].into_iter().chain(around);
        let stage = self.stages.get(question.action.as_str()).filter(|_| schema.is_none());
        let entities = match stage {
            Some(stage) => stage.clone().add_entities(brought, None),
            // A schema brings its own actions, which are the same; and an action that is not known is refused by the index.
            None => Entities::from_entities(brought.chain([self.settings.clone()]), schema),
        };
        let entities = entities.map_err(|_| QuestionError::Unfit)?;
        Ok(Facts { request, entities, named })
    }

    fn principal(&self, question: &Question, name: &str) -> Result<Entity, QuestionError> {
        let principal = &question.principal;
        let mut attributes = HashMap::from([
            ("kind".to_owned(), text(principal.kind.as_str())),
            ("id".to_owned(), text(&principal.id)),
            ("roles".to_owned(), texts(&principal.roles)),
        ]);
        if let Some(environment) = &principal.environment {
            attributes.insert("environment".to_owned(), text(environment));
        }
        let id = uid(&self.names.principal, name);
        Entity::new(id, attributes, HashSet::new()).map_err(|_| QuestionError::Unfit)
    }

    /// The resource, what it lies in, and the name of its environment.
    fn resource<'q>(&self, resource: &'q Resource) -> Result<(Entity, Vec<Entity>, &'q str), QuestionError> {
        let none = BTreeMap::new();
        match resource {
            Resource::Environment(facts) => {
                Ok((self.environment(&facts.name, &facts.labels)?, Vec::new(), &facts.name))
            }
            Resource::Tenant(facts) => {
                let environment = self.environment(&facts.environment, &none)?;
                Ok((self.tenant(facts)?, vec![environment], &facts.environment))
            }
            Resource::Object(facts) => {
                let environment = self.environment(&facts.environment, &none)?;
                let home = uid(&self.names.environment, &facts.environment);
                let mut attributes = vec![
                    ("kind".to_owned(), text(&facts.kind)),
                    ("id".to_owned(), text(&facts.id)),
                    ("environment".to_owned(), Expr::new_entity_uid(home.clone())),
                ];
                let (mut parents, mut around) = (vec![home], vec![environment]);
                if let Some(tenant) = &facts.tenant {
                    let id = uid(&self.names.tenant, &tenant.id);
                    attributes.push(("tenant".to_owned(), Expr::new_entity_uid(id.clone())));
                    parents.push(id);
                    if tenant.environment != facts.environment {
                        around.push(self.environment(&tenant.environment, &none)?);
                    }
                    around.push(self.tenant(tenant)?);
                }
                let id = uid(&self.names.object, &format!("{}:{}", facts.kind, facts.id));
                let object = Entity::new_with_tags(id, attributes, parents, tags(&facts.labels));
                Ok((object.map_err(|_| QuestionError::Unfit)?, around, &facts.environment))
            }
        }
    }

    fn environment(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<Entity, QuestionError> {
        let id = uid(&self.names.environment, name);
        let attributes = [("name".to_owned(), text(name))];
        Entity::new_with_tags(id, attributes, [], tags(labels)).map_err(|_| QuestionError::Unfit)
    }

    fn tenant(&self, facts: &TenantFacts) -> Result<Entity, QuestionError> {
        let home = uid(&self.names.environment, &facts.environment);
        let or = |given: &Option<String>, default: &str| text(given.as_deref().unwrap_or(default));
        let mut attributes = Vec::with_capacity(16);
        attributes.extend([
            ("slug".to_owned(), text(&facts.slug)),
            ("environment".to_owned(), Expr::new_entity_uid(home.clone())),
            ("plan".to_owned(), text(&facts.plan)),
            ("phase".to_owned(), text(&facts.phase)),
            ("isolation".to_owned(), text(&facts.isolation)),
            ("allowedRegions".to_owned(), texts(&facts.allowed_regions)),
            ("residencyFlags".to_owned(), texts(&facts.residency_flags)),
            ("commercial".to_owned(), or(&facts.commercial, "paying")),
            ("importance".to_owned(), or(&facts.importance, "normal")),
            ("regulated".to_owned(), Expr::new_bool(facts.regulated)),
            ("synthetic".to_owned(), Expr::new_bool(facts.synthetic)),
            ("legalHold".to_owned(), Expr::new_bool(facts.legal_hold)),
        ]);
        attributes.extend(facts.region.as_deref().map(|region| ("region".to_owned(), text(region))));
        attributes.extend(facts.profile.as_deref().map(|profile| ("profile".to_owned(), text(profile))));
        let id = uid(&self.names.tenant, &facts.id);
        Entity::new_with_tags(id, attributes, [home], tags(&facts.labels)).map_err(|_| QuestionError::Unfit)
    }

    /// A moment in the one form that Cedar reads, to the second.
    fn moment(&self, now: Timestamp) -> Expr {
        let second = now.as_second();
        if let Some(last) = self.moment.load().as_deref()
            && last.0 == second
        {
            return last.1.clone();
        }
        let made = Expr::new_datetime(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        self.moment.store(Some(Arc::new((second, made.clone()))));
        made
    }

    fn context(&self, question: &Question, name: &str, environment: &str) -> Result<Context, QuestionError> {
        let context = &question.context;
        let others = context.approvals.iter().filter(|approval| approval.as_str() != name).count();
        let open = self.windows.iter().filter(|(_, all)| all.iter().any(|window| window.is_open(context.now)));
        let wanted = &context.wanted;
        let wanted_texts = [
            ("plan", &wanted.plan),
            ("isolation", &wanted.isolation),
            ("phase", &wanted.phase),
            ("profile", &wanted.profile),
        ];
        let mut changes: Vec<_> =
            wanted_texts.iter().filter_map(|(key, value)| Some(((*key).to_owned(), text(value.as_deref()?)))).collect();
        changes.extend(wanted.allowed_regions.as_ref().map(|all| ("allowedRegions".to_owned(), texts(all))));
        let mut pairs = Vec::with_capacity(16);
        pairs.extend([
            ("action".to_owned(), text(&question.action)),
            ("environment".to_owned(), text(environment)),
            ("granted".to_owned(), Expr::new_bool(context.granted)),
            ("now".to_owned(), self.moment(context.now)),
            ("windows".to_owned(), Expr::new_set(open.map(|(name, _)| text(name)))),
            ("approvals".to_owned(), texts(&context.approvals)),
            ("approvalCount".to_owned(), Expr::new_long(i64::try_from(others).unwrap_or(i64::MAX))),
            ("regions".to_owned(), texts(&context.regions)),
            ("wanted".to_owned(), Expr::new_record(changes).map_err(|_| QuestionError::Unfit)?),
            ("settings".to_owned(), Expr::new_entity_uid(self.settings.uid())),
        ]);
        pairs.extend(context.reason.as_deref().map(|reason| ("reason".to_owned(), text(reason))));
        pairs.extend(context.encryption.as_deref().map(|kind| ("encryption".to_owned(), text(kind))));
        pairs.extend(context.retention_days.map(|days| ("retentionDays".to_owned(), Expr::new_long(days))));
        Context::from_pairs(pairs).map_err(|_| QuestionError::Unfit)
    }
}

fn text(text: &str) -> Expr {
    Expr::new_string(text.to_owned())
}

fn texts(all: &BTreeSet<String>) -> Expr {
    Expr::new_set(all.iter().map(|one| text(one)))
}

fn tags(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (String, Expr)> + '_ {
    labels.iter().map(|(key, value)| (key.clone(), text(value)))
}

fn expression(path: &str, value: &Value) -> Result<Expr, GroundError> {
    let refused = || GroundError::Value(path.to_owned());
    Ok(match value {
        Value::String(word) => text(word),
        Value::Bool(flag) => Expr::new_bool(*flag),
        Value::Number(number) => Expr::new_long(number.as_i64().ok_or_else(refused)?),
        Value::Array(members) => {
            let members =
                members.iter().enumerate().map(|(index, member)| expression(&format!("{path}[{index}]"), member));
            Expr::new_set(members.collect::<Result<Vec<_>, _>>()?)
        }
        Value::Object(members) => {
            let fields = members
                .iter()
                .map(|(key, member)| Ok((key.clone(), expression(&format!("{path}.{key}"), member)?)))
                .collect::<Result<Vec<_>, GroundError>>()?;
            Expr::new_record(fields).map_err(|_| refused())?
        }
        Value::Null => return Err(refused()),
    })
}
