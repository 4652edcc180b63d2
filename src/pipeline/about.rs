//! What a refusal or an alert is about: which execution, which fields, which statement.

use std::sync::Arc;

use super::owed::{Mark, Running};
use super::plan::Plan;
use crate::audit::FieldUse;

/// See the module's text. What is not known stays empty.
#[derive(Clone, Default)]
pub struct About {
    /// The execution that is refused. None: it never became one.
    pub number: Option<u64>,
    pub fields: Arc<[FieldUse]>,
    /// Literal-free.
    pub statement: Option<Arc<str>>,
    pub fingerprint: Option<Arc<str>>,
}

impl About {
    /// A statement of a plan.
    fn plan(plan: &Plan, index: usize) -> About {
        let facts = plan.facts.statements.get(index);
        let told = |text: &Arc<str>| Some(Arc::clone(text)).filter(|text| !text.is_empty());
        About {
            number: None,
            fields: plan.uses.get(index).cloned().unwrap_or_default(),
            statement: facts.and_then(|facts| told(&facts.shape)),
            fingerprint: facts.and_then(|facts| told(&facts.fingerprint)),
        }
    }

    /// All statements of a plan, by the words of the first that stands in the record.
    pub fn whole(plan: &Plan) -> About {
        let touching = plan.facts.statements.iter().position(|facts| facts.action().is_some());
        let first = About::plan(plan, touching.unwrap_or(0));
        if let [_] = plan.uses.as_slice() {
            return first;
        }
        let mut fields: Vec<FieldUse> = Vec::new();
        for field in plan.uses.iter().flat_map(|uses| uses.iter()) {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        }
        About { fields: fields.into(), ..first }
    }

    /// An execution that is under way.
    pub fn run(run: &Running) -> About {
        About { number: Some(run.execution.number), ..About::plan(&run.plan, run.index) }
    }

    /// What the server is answering, if that stands in the record.
    pub fn answer(mark: &mut Mark) -> Option<About> {
        let Some(stream) = &mark.stream else { return mark.running().map(|run| About::run(run)) };
        Some(About {
            number: Some(stream.execution.number),
            fields: stream.fields.clone(),
            statement: Some(stream.told.stream.command().into()),
            fingerprint: None,
        })
    }
}
