//! Pure: the risk of a call, from the stages heard so far.
//!
//! Demands count, claims hardly. A *demand* is what the script needs the callee to do: type, install, pay, tell a code,
//! keep silent. A *claim* (who calls, what is wrong) is said by honest callers too, so all claims together never reach
//! more than [`CLAIMS_CAP`]; beside a demand they show how far the script has come and raise it. Evidence adds up as a
//! noisy-or: each stage is one more way in which the call can be a scam. Only safe conduct lowers the risk, only what the
//! claims added, and never below what a demand established. No sum here may forget a demand once heard.

use super::{Speaker, Stage, StageScores};

/// The most that claims alone can reach: a notice under every sensible policy.
pub const CLAIMS_CAP: f32 = 0.4;
/// Probability under which a label is noise; a long call holds many of those.
const FLOOR: f32 = 0.35;
/// Probability from which a label counts in full.
const CERTAIN: f32 = 0.9;
/// What a second hearing of the same stage adds to the first.
const REPEATED: f32 = 0.5;
/// What the callee's own words count beside the caller's: who reads out a code was asked for it, out of our hearing.
const CALLEE: f32 = 0.3;
/// How much of a claim safe conduct takes away.
const RELIEF: f32 = 0.75;
/// How much of a demand the same utterance's safe conduct takes away: "we never ask for your PIN" names one.
const NEGATION: f32 = 0.5;

/// How likely a call with this stage, certainly heard and nothing else, is a scam.
fn weight(stage: Stage) -> f32 {
    match stage {
        Stage::RemoteAccess => 0.85,
        Stage::Credential => 0.75,
        Stage::Payment | Stage::ProofTheatre => 0.65,
        Stage::Pressure => 0.6,
        Stage::ProblemClaim => 0.2,
        Stage::Impersonation => 0.14,
        Stage::Handover => 0.1,
        Stage::SafeConduct => 0.0,
    }
}

/// Whether the stage demands something of the callee.
pub fn is_demand(stage: Stage) -> bool {
    match stage {
        Stage::RemoteAccess | Stage::Credential | Stage::Payment | Stage::ProofTheatre | Stage::Pressure => true,
        Stage::ProblemClaim | Stage::Impersonation | Stage::Handover | Stage::SafeConduct => false,
    }
}

/// The two clearest hearings of one stage; more than two add nothing, so that a long call is not a risky one.
#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    best: f32,
    second: f32,
}

impl Evidence {
    fn add(&mut self, strength: f32) {
        if strength > self.best {
            self.second = self.best;
            self.best = strength;
        } else if strength > self.second {
            self.second = strength;
        }
    }

    fn strength(self) -> f32 {
        1.0 - (1.0 - self.best) * (1.0 - REPEATED * self.second)
    }
}

/// What was heard in a call so far.
#[derive(Debug, Clone, Default)]
pub struct CallRisk {
    heard: [Evidence; Stage::ALL.len()],
}

impl CallRisk {
    /// Adds one utterance. Unknown speakers count as the caller.
    pub fn add(&mut self, speaker: Speaker, scores: &StageScores) {
        let share = if speaker == Speaker::Callee { CALLEE } else { 1.0 };
        let safe = evidence(scores.get(Stage::SafeConduct));
        for stage in Stage::ALL {
            let counts = speaker != Speaker::Callee || is_demand(stage);
            let negated = if is_demand(stage) { 1.0 - NEGATION * safe } else { 1.0 };
            if counts {
                self.heard[stage as usize].add(evidence(scores.get(stage)) * share * negated);
            }
        }
    }

    /// The risk now, in 0..=1.
    pub fn value(&self) -> f32 {
        let claims = self.any_of(|stage| !is_demand(stage)).min(CLAIMS_CAP);
        let relieved = claims * (1.0 - RELIEF * self.strength(Stage::SafeConduct));
        1.0 - (1.0 - relieved) * (1.0 - self.demands())
    }

    /// The part of the risk that nothing can lower.
    pub fn demands(&self) -> f32 {
        self.any_of(is_demand)
    }

    /// Stages that make up the risk, strongest first.
    pub fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<(Stage, f32)> = Stage::ALL.iter().map(|&s| (s, self.contribution(s))).collect();
        stages.retain(|(_, contribution)| *contribution >= 0.05);
        stages.sort_by(|a, b| b.1.total_cmp(&a.1));
        stages.into_iter().map(|(stage, _)| stage).collect()
    }

    fn strength(&self, stage: Stage) -> f32 {
        self.heard[stage as usize].strength()
    }

    fn contribution(&self, stage: Stage) -> f32 {
        weight(stage) * self.strength(stage)
    }

    fn any_of(&self, which: impl Fn(Stage) -> bool) -> f32 {
        let none: f32 = Stage::ALL.iter().filter(|s| which(**s)).map(|s| 1.0 - self.contribution(*s)).product();
        1.0 - none
    }
}

/// A probability as evidence: nothing up to [`FLOOR`], all from [`CERTAIN`]. Not-a-number is no evidence.
fn evidence(probability: f32) -> f32 {
    if probability.is_nan() { 0.0 } else { ((probability - FLOOR) / (CERTAIN - FLOOR)).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scores(stages: &[(Stage, f32)]) -> StageScores {
        let mut scores = StageScores::default();
        for &(stage, probability) in stages {
            scores.set(stage, probability);
        }
        scores
    }

    fn after(utterances: &[(Speaker, StageScores)]) -> f32 {
        let mut risk = CallRisk::default();
        for (speaker, scores) in utterances {
            risk.add(*speaker, scores);
        }
        risk.value()
    }

    fn any_speaker() -> impl Strategy<Value = Speaker> {
        prop_oneof![Just(Speaker::Caller), Just(Speaker::Callee), Just(Speaker::Unknown)]
    }

    fn any_utterance() -> impl Strategy<Value = (Speaker, StageScores)> {
        (any_speaker(), prop::array::uniform9(0.0f32..=1.0).prop_map(StageScores))
    }

    fn any_call() -> impl Strategy<Value = Vec<(Speaker, StageScores)>> {
        prop::collection::vec(any_utterance(), 0..30)
    }

    #[test]
    fn claims_alone_stay_a_notice_however_often_they_are_made() {
        let claim = scores(&[(Stage::Impersonation, 1.0), (Stage::ProblemClaim, 1.0), (Stage::Handover, 1.0)]);
        assert!(after(&[(Speaker::Caller, claim); 50]) <= CLAIMS_CAP);
    }

    #[test]
    fn a_demand_after_the_claims_is_worse_than_the_demand_alone() {
        let claim = scores(&[(Stage::Impersonation, 0.95), (Stage::ProblemClaim, 0.95)]);
        let demand = scores(&[(Stage::ProofTheatre, 0.95)]);
        let alone = after(&[(Speaker::Caller, demand)]);
        assert!(after(&[(Speaker::Caller, claim), (Speaker::Caller, demand)]) > alone + 0.05);
    }

    #[test]
    fn faint_labels_never_add_up() {
        let faint = StageScores([0.34; 9]);
        assert!(after(&[(Speaker::Caller, faint); 500]) < 1e-6);
    }

    #[test]
    fn an_unknown_speaker_counts_as_the_caller_and_the_callee_hardly() {
        let demand = scores(&[(Stage::Credential, 0.99)]);
        assert!((after(&[(Speaker::Unknown, demand)]) - after(&[(Speaker::Caller, demand)])).abs() < 1e-6);
        assert!(after(&[(Speaker::Callee, demand); 9]) < 0.45);
    }

    #[test]
    fn not_a_number_is_no_evidence() {
        assert!(after(&[(Speaker::Caller, StageScores([f32::NAN; 9]))]) < 1e-6);
    }

    #[test]
    fn stages_come_strongest_first() {
        let mut risk = CallRisk::default();
        risk.add(Speaker::Caller, &scores(&[(Stage::Impersonation, 0.9), (Stage::RemoteAccess, 0.9)]));
        assert_eq!(risk.stages(), [Stage::RemoteAccess, Stage::Impersonation]);
    }

    proptest! {
        #[test]
        fn risk_is_a_probability_and_never_below_its_demands(call in any_call()) {
            let mut risk = CallRisk::default();
            for (speaker, scores) in &call {
                risk.add(*speaker, scores);
                prop_assert!((0.0..=1.0).contains(&risk.value()));
                prop_assert!(risk.value() >= risk.demands() - 1e-6);
            }
        }

        #[test]
        fn without_safe_conduct_risk_only_rises(call in any_call()) {
            let mut risk = CallRisk::default();
            for (speaker, mut scores) in call {
                scores.set(Stage::SafeConduct, 0.0);
                let before = risk.value();
                risk.add(speaker, &scores);
                prop_assert!(risk.value() >= before - 1e-6);
            }
        }

        #[test]
        fn what_demands_established_stays(call in any_call()) {
            let mut risk = CallRisk::default();
            for (speaker, scores) in call {
                let before = risk.demands();
                risk.add(speaker, &scores);
                prop_assert!(risk.demands() >= before - 1e-6);
            }
        }

        #[test]
        fn a_stronger_demand_never_lowers_the_risk(
            mut call in any_call(), stage in 0usize..8, more in 0.0f32..=1.0, last in any_utterance()
        ) {
            call.push(last);
            let lower = after(&call);
            if let Some((_, scores)) = call.last_mut() {
                scores.0[stage] = scores.0[stage].max(more);
            }
            prop_assert!(after(&call) >= lower - 1e-6);
        }

        #[test]
        fn stronger_safe_conduct_never_raises_the_risk(mut call in any_call(), more in 0.0f32..=1.0, last in any_utterance()) {
            call.push(last);
            let higher = after(&call);
            if let Some((_, scores)) = call.last_mut() {
                scores.set(Stage::SafeConduct, scores.get(Stage::SafeConduct).max(more));
            }
            prop_assert!(after(&call) <= higher + 1e-6);
        }

        #[test]
        fn the_order_of_utterances_does_not_matter(call in any_call()) {
            let mut turned = call.clone();
            turned.reverse();
            prop_assert!((after(&call) - after(&turned)).abs() < 1e-5);
        }
    }
}
