//! The bodies of requests: a registration to be stored, or the id of one.

use serde::de::MapAccess;

use super::checked::{Fields, Invalid, InvalidKind, LabelNames, Registration, echo};
use super::declared::{BodyFault, escaped};
use super::id::TargetId;
use super::json::{self, Object, Text};
use super::scraping::{ScrapeFault, scrape_faults};
use super::ttl::{Ttl, TtlBounds};

impl Registration {
    /// Reads the body of a PUT:
    /// `{"static_config": {"targets": [...], "labels": {...}, "target_group": "...", "modules": [...], "ttl_seconds": 600}}`.
    pub fn parse(body: &[u8], names: LabelNames, ttls: TtlBounds) -> Result<Registration, Invalid> {
        let PutRequest { static_config } = json::decode(body)?;
        let Some(fields) = static_config else {
            return Err(Invalid::new(InvalidKind::Targets, "static_config: missing"));
        };
        let checked = check_ttl(&fields, ttls).and_then(|()| Registration::check(fields, names));
        checked.map_err(|invalid| invalid.within("static_config"))
    }
}

/// The purpose for which a registration must be fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Lists that Prometheus takes.
    Listed,
    /// Being scraped as well: no label for which Prometheus drops the target.
    Scraped,
}

impl Strictness {
    /// The registration, if it is fit.
    pub fn check(self, registration: Registration) -> Result<Registration, Invalid> {
        let faults = if self == Strictness::Scraped { registration.scrape_faults() } else { Vec::new() };
        let Some(ScrapeFault { label, reason }) = faults.first() else { return Ok(registration) };
        let value = registration.labels().find_map(|(name, value)| (name == *label).then_some(value));
        let message = format!("static_config: labels: {label}={:?}: {reason}", echo(value.unwrap_or_default()));
        Err(Invalid::new(InvalidKind::Scraping, message))
    }
}

/// All faults in the body of a PUT, each with its place, for a form that shows them.
pub fn put_faults(body: &[u8], names: LabelNames, ttls: TtlBounds, strictness: Strictness) -> Vec<BodyFault> {
    let at = |place: &str, detail: String| BodyFault { pointer: format!("/static_config{place}"), detail };
    let fields = match json::decode(body) {
        Ok(PutRequest { static_config: Some(fields) }) => fields,
        Ok(PutRequest { static_config: None }) => return vec![at("", "missing".to_owned())],
        Err(e) => return vec![BodyFault { pointer: String::new(), detail: Invalid::from(e).to_string() }],
    };
    let targets = fields.targets.as_deref().unwrap_or_default();
    let mut faults: Vec<BodyFault> = Vec::new();
    if targets.is_empty() {
        faults.push(at("/targets", "at least one is required".to_owned()));
    }
    let empty = targets.iter().enumerate().filter(|(_, target)| target.is_empty());
    faults.extend(empty.map(|(n, _)| at(&format!("/targets/{n}"), "empty or null".to_owned())));
    let labels = fields.labels.iter().flat_map(|labels| labels.keys());
    faults.extend(labels.filter_map(|name| Some(at(&format!("/labels/{}", escaped(name)), names.fault(name)?))));
    if strictness == Strictness::Scraped {
        let found = scrape_faults(|name| Some(fields.labels.as_ref()?.get(name)?.as_str().into()));
        faults.extend(found.into_iter().map(|fault| at(&format!("/labels/{}", fault.label), fault.reason.to_owned())));
    }
    faults.extend(ttl_fault(&fields, ttls).map(|reason| at("/ttl_seconds", reason)));
    if faults.is_empty()
        && let Err(invalid) = Registration::check(fields, names)
    {
        faults.push(at("/modules", invalid.to_string()));
    }
    faults
}

fn check_ttl(fields: &Fields, ttls: TtlBounds) -> Result<(), Invalid> {
    match ttl_fault(fields, ttls) {
        Some(reason) => Err(Invalid::new(InvalidKind::Ttl, reason).within("ttl_seconds")),
        None => Ok(()),
    }
}

/// Stored documents are not checked for this: they live as they were stored, whatever is allowed today.
fn ttl_fault(fields: &Fields, ttls: TtlBounds) -> Option<String> {
    match fields.ttl.as_ref()? {
        Ok(ttl) if ttls.allow(*ttl) => None,
        Ok(ttl) => Some(format!("{} is not between {ttls}", ttl.seconds())),
        Err(written) => {
            let (written, most) = (echo(written), Ttl::SECONDS_MAX);
            Some(format!("{written} is not a whole number of seconds from 0, for ever, to {most}"))
        }
    }
}

/// Reads the body of a GET or DELETE: `{"id": "..."}`.
pub fn parse_id_request(body: &[u8]) -> Result<TargetId, Invalid> {
    let IdRequest { id } = json::decode(body)?;
    let Some(id) = id else {
        return Err(Invalid::new(InvalidKind::Json, "id: missing"));
    };
    parse_id(&id)
}

/// Reads an id as a client spells it.
pub fn parse_id(text: &str) -> Result<TargetId, Invalid> {
    let invalid = || Invalid::new(InvalidKind::Json, format!("id: {:?} is not a UUID", echo(text)));
    TargetId::parse(text).ok_or_else(invalid)
}

#[derive(Default)]
struct PutRequest {
    static_config: Option<Fields>,
}

impl Object for PutRequest {
    const NAME: &'static str = "an object with static_config";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "static_config" => self.static_config = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct IdRequest {
    id: Option<String>,
}

impl Object for IdRequest {
    const NAME: &'static str = "an object with id";

    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => self.id = map.next_value::<Option<Text>>()?.map(|id| id.0),
            _ => return Ok(false),
        }
        Ok(true)
    }
}
