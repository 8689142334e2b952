//! Medians.

/// The median; the mean of the middle two of an even number. NaN for nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => f64::NAN,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => {
            let lower = middle.checked_sub(1).and_then(|at| sorted.get(at)).unwrap_or(upper);
            f64::midpoint(*lower, *upper)
        }
    }
}

/// Two programs measured in turns.
#[derive(Debug, Default)]
pub struct Pairs {
    /// The agent's values.
    pub ours: Vec<f64>,
    /// The values of what it is compared with.
    pub theirs: Vec<f64>,
}

impl Pairs {
    /// The median of the ratios of the pairs: both of a pair saw about the same noise.
    pub fn ratio(&self) -> f64 {
        let ratios: Vec<f64> = self.ours.iter().zip(&self.theirs).map(|(a, b)| a / b).collect();
        median(&ratios)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_stand_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_ratio_is_that_of_pairs() {
        let pairs = Pairs { ours: vec![1.0, 10.0, 9.0], theirs: vec![2.0, 10.0, 10.0] };
        assert!((pairs.ratio() - 0.9).abs() < 1e-9);
    }
}
