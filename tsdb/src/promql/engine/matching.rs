//! Arithmetic and comparisons between two vectors: which series meet, and what the result is called.

use super::Error;
use super::binary::{Made, apply, as_number};
use super::eval::Eval;
use super::matrix::{Matrix, is_present};
use crate::promql::ast::{BinaryOp, Card, Matching};
use crate::promql::labelset::{Labelset, Numbering, hash_pairs, is_metadata};
use crate::series::METRIC_NAME;

/// What series must have in common to meet.
pub(super) struct Signatures<'m> {
    on: bool,
    names: Vec<&'m str>,
    numbering: Numbering,
    /// A row that has each signature, for comparison.
    examples: Vec<Labelset>,
}

impl<'m> Signatures<'m> {
    pub fn new(matching: &'m Matching) -> Signatures<'m> {
        let mut names: Vec<&str> = matching.labels.iter().map(String::as_str).collect();
        if !matching.on {
            names.push(METRIC_NAME);
        }
        names.sort_unstable();
        names.dedup();
        Signatures { on: matching.on, names, numbering: Numbering::default(), examples: Vec::new() }
    }

    fn pairs<'a>(&'a self, head: &'a Labelset) -> impl Iterator<Item = (&'a str, &'a str)> {
        // Of two sorted lists one is empty, so that both ways have the same type.
        let named = self.on.then(|| self.names.iter().map(|name| (*name, head.get(name))));
        let named = named.into_iter().flatten().filter(|(_, value)| !value.is_empty());
        let others = (!self.on).then(|| head.iter());
        let others = others.into_iter().flatten();
        named.chain(others.filter(|(name, _)| self.names.binary_search(name).is_err()))
    }

    /// The number of a signature, a new one if nobody had it yet.
    pub fn number(&mut self, head: &Labelset) -> usize {
        let hash = hash_pairs(self.pairs(head));
        let known = self.numbering.find(hash, |other| self.pairs(&self.examples[other]).eq(self.pairs(head)));
        known.unwrap_or_else(|| {
            self.examples.push(head.clone());
            self.numbering.find_or(hash, self.examples.len() - 1, |_| false).0
        })
    }

    /// The number of a signature that somebody had already.
    pub fn known(&self, head: &Labelset) -> Option<usize> {
        let hash = hash_pairs(self.pairs(head));
        self.numbering.find(hash, |other| self.pairs(&self.examples[other]).eq(self.pairs(head)))
    }

    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// The labels of a signature, for messages.
    fn describe(&self, head: &Labelset) -> String {
        Labelset::from_pairs(self.pairs(head)).to_string()
    }
}

impl Eval<'_> {
    /// Lets the series of two vectors meet.
    pub fn matched(
        &mut self,
        op: BinaryOp,
        left: &Matrix,
        right: &Matrix,
        to_bool: bool,
        matching: &Matching,
    ) -> Result<Matrix, Error> {
        let swapped = matching.card == Card::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let mut signatures = Signatures::new(matching);
        let mut ones: Vec<Vec<usize>> = Vec::new();
        for (row, head) in one.heads.iter().enumerate() {
            let number = signatures.number(head);
            ones.resize(signatures.len(), Vec::new());
            ones[number].push(row);
        }
        check_one_side(many, one, &ones, &signatures, swapped)?;
        let mut meeting = Meeting {
            op,
            to_bool,
            swapped,
            matching,
            delayed: self.options.delayed_name_removal,
            out: Matrix::new(many.steps),
            numbering: Numbering::default(),
            owners: Vec::new(),
            met: vec![false; if matching.card == Card::OneToOne { signatures.len() * many.steps } else { 0 }],
        };
        for (row, head) in many.heads.iter().enumerate() {
            let Some(number) = signatures.known(head) else { continue };
            for partner in &ones[number] {
                meeting.meet((head, many.row(row)), (&one.heads[*partner], one.row(*partner)), number)?;
            }
            self.room_for(meeting.out.values.len())?;
        }
        Ok(meeting.out)
    }
}

/// Two series of the "one" side must not have the same signature at a step at which both sides have values at all.
fn check_one_side(
    many: &Matrix,
    one: &Matrix,
    ones: &[Vec<usize>],
    signatures: &Signatures<'_>,
    swapped: bool,
) -> Result<(), Error> {
    for rows in ones.iter().filter(|rows| rows.len() > 1) {
        let mut holder: Vec<Option<usize>> = vec![None; one.steps];
        for row in rows {
            for (step, _) in one.row(*row).iter().enumerate().filter(|(_, value)| is_present(**value)) {
                let before = holder[step].replace(*row);
                let Some(before) = before else { continue };
                if !(0..many.len()).any(|row| is_present(many.row(row)[step])) {
                    continue;
                }
                let side = if swapped { "left" } else { "right" };
                let (first, second) = (&one.heads[before], &one.heads[*row]);
                return Err(Error::Execution(format!(
                    "found duplicate series for the match group {} on the {side} hand-side of the operation: \
                     [{second}, {first}];many-to-many matching not allowed: matching labels must be unique on one side",
                    signatures.describe(second)
                )));
            }
        }
    }
    Ok(())
}

/// The result so far.
struct Meeting<'a> {
    op: BinaryOp,
    to_bool: bool,
    swapped: bool,
    matching: &'a Matching,
    delayed: bool,
    out: Matrix,
    numbering: Numbering,
    /// Signature of whoever set each value, to tell ambiguous matches from rows that become alike.
    owners: Vec<u32>,
    /// Whether a signature has a value at a step already; one to one it has only one, whatever the results are called.
    met: Vec<bool>,
}

impl Meeting<'_> {
    fn meet(
        &mut self,
        (many_head, many): (&Labelset, &[f64]),
        (one_head, one): (&Labelset, &[f64]),
        signature: usize,
    ) -> Result<(), Error> {
        if !many.iter().zip(one).any(|(many, one)| is_present(*many) && is_present(*one)) {
            return Ok(());
        }
        let head = self.name(many_head, one_head);
        let same = |number: usize| self.out.heads[number].same(&head);
        let (row, new) = self.numbering.find_or(head.hash(), self.out.len(), same);
        if new {
            self.out.push(head);
            self.owners.resize(self.out.values.len(), 0);
        }
        let from = row * self.out.steps;
        for step in 0..self.out.steps {
            if !(is_present(many[step]) && is_present(one[step])) {
                continue;
            }
            let (left, right) = if self.swapped { (one[step], many[step]) } else { (many[step], one[step]) };
            let value = match apply(self.op, left, right) {
                Made::Number(value) => value,
                Made::Holds(holds) if self.to_bool => as_number(holds),
                Made::Holds(true) => left,
                Made::Holds(false) => continue,
            };
            if self.matching.card == Card::OneToOne
                && std::mem::replace(&mut self.met[signature * self.out.steps + step], true)
            {
                return Err(self.clash(true));
            }
            if is_present(self.out.values[from + step]) {
                return Err(self.clash(self.owners[from + step] as usize == signature));
            }
            self.out.values[from + step] = value;
            self.owners[from + step] = signature as u32;
        }
        Ok(())
    }

    fn clash(&self, same_signature: bool) -> Error {
        if !same_signature {
            return Error::SameLabels;
        }
        Error::Execution(if self.matching.card == Card::OneToOne {
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                .into()
        } else {
            "multiple matches for labels: grouping labels must ensure unique matches".into()
        })
    }

    /// Labels of the result: those of the "many" side, less what the matching leaves out, plus what it takes over.
    fn name(&self, many: &Labelset, one: &Labelset) -> Labelset {
        let loses_name = !self.op.compares() || (self.to_bool && !self.delayed);
        let listed = |name: &str| self.matching.labels.iter().any(|label| label == name);
        let one_to_one = self.matching.card == Card::OneToOne;
        let kept = many.iter().filter(|(name, _)| {
            let matched = !one_to_one || listed(name) == self.matching.on;
            matched && !(loses_name && is_metadata(name))
        });
        let included = self.matching.include.iter().map(|name| (name.as_str(), one.get(name)));
        let mut head = Labelset::from_pairs(kept.chain(included));
        head.drop_later = self.delayed && self.to_bool;
        head
    }
}
