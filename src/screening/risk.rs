//! Pure: the risk of a call, from what was heard so far.
//!
//! Demands count, claims hardly. A *demand* is what the script needs the callee to do: type, install, pay, tell a code,
//! keep silent. A *claim* (what is wrong, who takes over) is said by honest callers too. The *tone* is the classifier's view
//! of the call as a whole, smoothed over its utterances: a daughter who asks for the code of the television speaks in another
//! tone than a thief who asks for that of the bank. The risk is a logistic regression over the clearest demand, the clearest
//! claims and the tone, so each one's share can be told. Tone and claims alone alarm nobody ([`CLAIMS_CAP`]); safe conduct and
//! a friendly tone lower the risk again; a demand once heard is never forgotten.
//!
//! `models/training/risk.py` does the same arithmetic and fits the weights to calls that the classifier had not seen.

use super::{Judgement, Speaker, Stage};

/// The most that a call without any demand can reach: a notice under every sensible policy.
pub const CLAIMS_CAP: f32 = 0.35;
/// Log-odds of a scam before anything was said.
const BIAS: f32 = -3.90;
/// Log-odds that the clearest tone adds or takes away.
const TONE: f32 = 2.60;
/// Log-odds that a problem, certainly claimed, adds.
const PROBLEM: f32 = 1.18;
/// Log-odds that a certain handover adds.
const HANDOVER: f32 = 0.18;
/// Log-odds that certain safe conduct takes away.
const SAFE: f32 = 0.61;
/// Log-odds that the clearest demand adds.
const DEMAND: f32 = 7.81;
/// How much of the tone one utterance makes.
const FRESH: f32 = 0.25;
/// Log-odds at which a tone is as clear as can be.
const TONE_LIMIT: f32 = 4.0;
/// Log-odds of a demand under which it is noise; a long call holds many of those.
const FLOOR: f32 = -3.0;
/// Log-odds of a demand from which it counts in full.
const CERTAIN: f32 = 4.0;
/// What the callee's own words count beside the caller's: who reads out a code was asked for it, out of our hearing.
const CALLEE: f32 = 0.3;
/// How much of a demand the same utterance's safe conduct takes away: "we never ask for your PIN" names one.
const NEGATION: f32 = 0.5;
/// Probability from which safe conduct relieves: "I am honest" is what scammers say too.
const RELIEVING: f32 = 0.6;
/// Probability from which a stage is named in a warning.
const NAMED: f32 = 0.4;

/// How far a stage proves that something is demanded. Much that honest people say in a hurry sounds like pressure.
fn trust(stage: Stage) -> f32 {
    match stage {
        Stage::ProofTheatre | Stage::RemoteAccess | Stage::Payment | Stage::Credential => 0.95,
        Stage::Pressure => 0.5,
        Stage::Impersonation | Stage::ProblemClaim | Stage::Handover | Stage::SafeConduct => 0.0,
    }
}

/// What was heard in a call so far.
#[derive(Debug, Clone, Default)]
pub struct CallRisk {
    /// -1: reads as an honest call, 1: as a scam.
    tone: f32,
    /// The clearest demand, 0..=1. More of them add nothing, so that a long call is not a risky one.
    demand: f32,
    /// The caller's clearest demand and the likeliest stage of its utterance.
    demanded: Option<(f32, Stage)>,
    /// The clearest hearing of each stage from the caller, a probability.
    heard: [f32; Stage::ALL.len()],
}

impl CallRisk {
    /// Adds one utterance. Unknown speakers count as the caller. Gives the likeliest stage of an utterance that is
    /// the caller's clearest demand so far; the callee only repeats what was asked of them.
    pub fn add(&mut self, speaker: Speaker, judgement: &Judgement) -> Option<Stage> {
        if judgement.call.is_finite() {
            let tone = (logit(judgement.call) / TONE_LIMIT).clamp(-1.0, 1.0);
            self.tone += FRESH * (tone - self.tone);
        }
        let share = if speaker == Speaker::Callee { CALLEE } else { 1.0 };
        let safe = known(judgement.get(Stage::SafeConduct));
        let nothing: f32 = Stage::ALL.iter().map(|&stage| 1.0 - trust(stage) * known(judgement.get(stage))).product();
        let demand = strength(1.0 - nothing) * share * (1.0 - NEGATION * safe);
        self.demand = self.demand.max(demand);
        if speaker == Speaker::Callee {
            return None;
        }
        for stage in Stage::ALL {
            let heard = &mut self.heard[stage as usize];
            *heard = heard.max(known(judgement.get(stage)));
        }
        if demand <= self.demanded.map_or(0.0, |(clearest, _)| clearest) {
            return None;
        }
        let stage = likeliest_demand(judgement)?;
        self.demanded = Some((demand, stage));
        Some(stage)
    }

    /// The risk now, in 0..=1.
    pub fn value(&self) -> f32 {
        let claims = PROBLEM * self.clearness(Stage::ProblemClaim) + HANDOVER * self.clearness(Stage::Handover);
        let undemanding = BIAS + TONE * self.tone + claims - SAFE * self.relief();
        probability(undemanding.min(logit(CLAIMS_CAP)) + DEMAND * self.demand)
    }

    /// Stages that make up the risk: the demands, clearest first, then what was claimed. Of the caller's clearest demand the
    /// likeliest stage is among them, sure or not.
    pub fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| *stage != Stage::SafeConduct).collect();
        stages
            .sort_by(|a, b| b.is_demand().cmp(&a.is_demand()).then(self.clearness(*b).total_cmp(&self.clearness(*a))));
        let demanded = self.demanded.map(|(_, stage)| stage);
        stages.retain(|stage| self.clearness(*stage) >= NAMED || Some(*stage) == demanded);
        stages
    }

    fn relief(&self) -> f32 {
        ((self.clearness(Stage::SafeConduct) - RELIEVING) / (1.0 - RELIEVING)).max(0.0)
    }

    fn clearness(&self, stage: Stage) -> f32 {
        self.heard[stage as usize]
    }
}

fn likeliest_demand(judgement: &Judgement) -> Option<Stage> {
    let demands = Stage::ALL.into_iter().filter(|stage| stage.is_demand());
    demands.max_by(|a, b| known(judgement.get(*a)).total_cmp(&known(judgement.get(*b))))
}

fn probability(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}

fn logit(probability: f32) -> f32 {
    let probability = probability.clamp(1e-6, 1.0 - 1e-6);
    (probability / (1.0 - probability)).ln()
}

/// Not-a-number is no evidence.
fn known(probability: f32) -> f32 {
    if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) }
}

/// A demand's probability as evidence: nothing up to [`FLOOR`], all from [`CERTAIN`].
fn strength(probability: f32) -> f32 {
    ((logit(probability) - FLOOR) / (CERTAIN - FLOOR)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn demand(probability: f32) -> Judgement {
        said(&[(Stage::RemoteAccess, probability)])
    }

    fn said(stages: &[(Stage, f32)]) -> Judgement {
        Judgement::of(stages)
    }

    fn tone(call: f32) -> Judgement {
        Judgement { call, ..Judgement::default() }
    }

    fn after(utterances: &[(Speaker, Judgement)]) -> f32 {
        let mut risk = CallRisk::default();
        for (speaker, judgement) in utterances {
            risk.add(*speaker, judgement);
        }
        risk.value()
    }

    fn any_speaker() -> impl Strategy<Value = Speaker> {
        prop_oneof![Just(Speaker::Caller), Just(Speaker::Callee), Just(Speaker::Unknown)]
    }

    fn any_utterance() -> impl Strategy<Value = (Speaker, Judgement)> {
        let judgement = (prop::array::uniform9(0.0f32..=1.0), 0.0f32..=1.0);
        (any_speaker(), judgement.prop_map(|(stages, call)| Judgement { stages, call }))
    }

    fn any_call() -> impl Strategy<Value = Vec<(Speaker, Judgement)>> {
        prop::collection::vec(any_utterance(), 0..30)
    }

    fn without_demands(call: &mut [(Speaker, Judgement)]) {
        for (_, judgement) in call {
            Stage::ALL.into_iter().filter(|stage| stage.is_demand()).for_each(|stage| judgement.set(stage, 0.0));
        }
    }

    #[test]
    fn claims_in_the_worst_tone_stay_a_notice_however_often_they_are_made() {
        let claims = [(Stage::Impersonation, 1.0), (Stage::ProblemClaim, 1.0), (Stage::Handover, 1.0)];
        let claims = Judgement { call: 1.0, ..said(&claims) };
        assert!(after(&[(Speaker::Caller, claims); 50]) <= CLAIMS_CAP + 1e-6);
    }

    #[test]
    fn a_demand_after_a_claim_in_a_bad_tone_is_worse_than_the_demand_alone() {
        let alone = after(&[(Speaker::Caller, demand(0.6))]);
        let claim = Judgement { call: 0.95, ..said(&[(Stage::ProblemClaim, 0.9)]) };
        assert!(after(&[(Speaker::Caller, claim), (Speaker::Caller, demand(0.6))]) > alone + 0.1);
    }

    #[test]
    fn a_friendly_end_lowers_the_risk_of_a_faint_demand_and_not_of_a_clear_one() {
        let friendly = [(Speaker::Caller, tone(0.02)); 6];
        let end = |p: f32| after(&[&[(Speaker::Caller, demand(p))][..], &friendly].concat());
        assert!(end(0.4) < 0.1 && end(0.999) > 0.5, "{} {}", end(0.4), end(0.999));
    }

    #[test]
    fn faint_demands_never_add_up() {
        assert!((after(&[(Speaker::Caller, demand(0.04)); 500]) - after(&[])).abs() < 1e-6);
    }

    #[test]
    fn an_unknown_speaker_counts_as_the_caller_and_the_callee_hardly() {
        let demand = demand(0.99);
        assert!((after(&[(Speaker::Unknown, demand)]) - after(&[(Speaker::Caller, demand)])).abs() < 1e-6);
        assert!(after(&[(Speaker::Callee, demand); 9]) < CLAIMS_CAP);
    }

    #[test]
    fn not_a_number_is_no_evidence() {
        let nothing = Judgement { stages: [f32::NAN; 9], call: f32::NAN };
        assert!((after(&[(Speaker::Caller, nothing)]) - after(&[])).abs() < 1e-6);
    }

    #[test]
    fn demands_are_named_before_claims_and_of_the_clearest_one_the_likeliest_stage_even_if_unsure() {
        let mut risk = CallRisk::default();
        let unsure = [(Stage::Impersonation, 0.9), (Stage::RemoteAccess, 0.3), (Stage::Payment, 0.2)];
        assert_eq!(risk.add(Speaker::Caller, &said(&unsure)), Some(Stage::RemoteAccess));
        assert_eq!(risk.stages(), [Stage::RemoteAccess, Stage::Impersonation]);
        assert_eq!(risk.add(Speaker::Caller, &said(&[(Stage::Credential, 0.35)])), None);
        assert_eq!(risk.stages(), [Stage::RemoteAccess, Stage::Impersonation]);
        assert_eq!(risk.add(Speaker::Caller, &said(&[(Stage::Payment, 0.8)])), Some(Stage::Payment));
        assert_eq!(risk.stages(), [Stage::Payment, Stage::Impersonation]);
    }

    #[test]
    fn a_callee_who_repeats_a_demand_does_not_keep_the_callers_fainter_one_from_being_named() {
        let mut risk = CallRisk::default();
        assert_eq!(risk.add(Speaker::Callee, &demand(0.999)), None);
        assert_eq!(risk.add(Speaker::Caller, &said(&[(Stage::Payment, 0.1)])), Some(Stage::Payment));
        assert_eq!(risk.stages(), [Stage::Payment]);
    }

    proptest! {
        #[test]
        fn risk_is_a_probability(call in any_call()) {
            prop_assert!((0.0..=1.0).contains(&after(&call)));
        }

        #[test]
        fn without_a_demand_no_call_is_more_than_claims(mut call in any_call()) {
            without_demands(&mut call);
            prop_assert!(after(&call) <= CLAIMS_CAP + 1e-6);
        }

        #[test]
        fn in_an_even_tone_without_safe_conduct_risk_only_rises(call in any_call()) {
            let mut risk = CallRisk::default();
            for (speaker, mut judgement) in call {
                judgement.call = 0.5;
                judgement.set(Stage::SafeConduct, 0.0);
                let before = risk.value();
                risk.add(speaker, &judgement);
                prop_assert!(risk.value() >= before - 1e-6);
            }
        }

        #[test]
        fn a_call_that_reads_worse_is_no_less_risky(mut call in any_call(), more in 0.0f32..=1.0) {
            let before = after(&call);
            for (_, judgement) in &mut call {
                judgement.call = judgement.call.max(more);
            }
            prop_assert!(after(&call) >= before - 1e-6);
        }

        #[test]
        fn a_clearer_stage_but_safe_conduct_never_lowers_the_risk(
            mut call in any_call(), stage in 0usize..8, more in 0.0f32..=1.0, last in any_utterance()
        ) {
            call.push(last);
            let lower = after(&call);
            if let Some((_, judgement)) = call.last_mut() {
                judgement.stages[stage] = judgement.stages[stage].max(more);
            }
            prop_assert!(after(&call) >= lower - 1e-6);
        }

        #[test]
        fn stronger_safe_conduct_never_raises_the_risk(mut call in any_call(), more in 0.0f32..=1.0, last in any_utterance()) {
            call.push(last);
            let higher = after(&call);
            if let Some((_, judgement)) = call.last_mut() {
                judgement.set(Stage::SafeConduct, judgement.get(Stage::SafeConduct).max(more));
            }
            prop_assert!(after(&call) <= higher + 1e-6);
        }

        #[test]
        fn in_an_even_tone_the_order_of_utterances_does_not_matter(mut call in any_call()) {
            call.iter_mut().for_each(|(_, judgement)| judgement.call = 0.5);
            let mut turned = call.clone();
            turned.reverse();
            prop_assert!((after(&call) - after(&turned)).abs() < 1e-5);
        }
    }
}
