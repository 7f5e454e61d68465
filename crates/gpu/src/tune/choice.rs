//! What can be chosen about one kernel.

use serde::{Deserialize, Serialize};

use crate::codegen::{Cooperative, Cut, Shaping, Tile, WorkgroupTile};

/// How one kernel is shaped. A choice that does not fit a kernel or a device leaves it to the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// A map.
    Map {
        /// Invocations of a workgroup.
        workgroup: u32,
        /// Neighbouring elements of an invocation: 4 or 1.
        lanes: usize,
    },
    /// Reductions.
    Row {
        /// Invocations that share a row.
        share: u32,
    },
    /// A pass of attention.
    Attention {
        /// Rows that an invocation owns.
        rows: usize,
    },
    /// A contraction by subgroups.
    Subgroup(Cut),
    /// A contraction from registers, every invocation for itself.
    Registers(Tile),
    /// A contraction through workgroup memory.
    Workgroup(WorkgroupTile),
    /// A contraction of f16 on cooperative matrices.
    Cooperative {
        /// Matrices of a subgroup's block, along rows and columns.
        block: [usize; 2],
    },
}

impl Choice {
    /// The shaping of a kernel with this choice, on a device that allows so many invocations of a workgroup.
    pub(crate) fn shape(self, shaping: &Shaping, most: u32) -> Option<Shaping> {
        let workgroup_fits = |workgroup: u32| workgroup.is_power_of_two() && workgroup <= most;
        match self {
            Self::Map { workgroup, lanes } => (workgroup_fits(workgroup) && [1, 4].contains(&lanes))
                .then_some(Shaping { map_workgroup: workgroup, map_lanes: lanes, ..*shaping }),
            Self::Row { share } => {
                workgroup_fits(share).then_some(Shaping { row_share: Some(share), ..*shaping })
            }
            Self::Attention { rows } => {
                [1, 2, 4, 8].contains(&rows).then_some(Shaping { attention_rows: Some(rows), ..*shaping })
            }
            Self::Subgroup(cut) => {
                shaping.subgroup.map(|_| Shaping { cut: Some(cut), cooperative: None, ..*shaping })
            }
            Self::Registers(tile) => {
                let Tile { rows, columns, workgroup } = tile;
                let fits = (1..=16).contains(&rows) && [4, 8, 12, 16].contains(&columns);
                (fits && workgroup_fits(workgroup)).then_some(Shaping {
                    tile,
                    workgroup_tiles: false,
                    subgroup: None,
                    cooperative: None,
                    ..*shaping
                })
            }
            Self::Workgroup(tile) => tile.fits(most, shaping.workgroup_limits[1]).then_some(Shaping {
                workgroup_tiles: true,
                workgroup_tile: Some(tile),
                subgroup: None,
                cooperative: None,
                ..*shaping
            }),
            Self::Cooperative { block } => {
                let cooperative = Cooperative { block: Some(block), ..shaping.cooperative? };
                Cooperative::CANDIDATES
                    .contains(&block)
                    .then_some(Shaping { cooperative: Some(cooperative), ..*shaping })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_to_the_rule() {
        let (software, hardware) = (Shaping::software(), Shaping::hardware());
        let cut = Choice::Subgroup(Cut { rows: 8, rows_per_lane: 1, columns: 4, height: 1, inner: 4 });
        assert_eq!(cut.shape(&hardware, 256), None);
        assert!(
            cut.shape(&Shaping { subgroup: Some(8), ..software }, 256)
                .is_some_and(|shaping| shaping.cut.is_some())
        );
        for (workgroup, lanes) in [(0, 4), (48, 4), (512, 4), (64, 3)] {
            assert_eq!(Choice::Map { workgroup, lanes }.shape(&software, 256), None);
        }
        assert!(Choice::Map { workgroup: 128, lanes: 1 }.shape(&software, 256).is_some());
        for (rows, columns, workgroup) in [(0, 4, 64), (4, 6, 64), (4, 4, 63), (17, 4, 64), (4, 20, 64)] {
            assert_eq!(Choice::Registers(Tile { rows, columns, workgroup }).shape(&hardware, 256), None);
        }
        let tile = WorkgroupTile { rows: 64, columns: 64, inner: 8, rows_each: 4, columns_each: 4 };
        assert!(Choice::Workgroup(tile).shape(&software, 256).is_some_and(|shaping| shaping.workgroup_tiles));
        assert_eq!(Choice::Workgroup(tile).shape(&hardware, 128), None);
        let cramped = Shaping { workgroup_limits: [256, 4096], ..hardware };
        assert_eq!(Choice::Workgroup(tile).shape(&cramped, 256), None);
        for nonsense in [
            WorkgroupTile { rows: 0, ..tile },
            WorkgroupTile { rows: 48, ..tile },
            WorkgroupTile { rows: 8, ..tile },
            WorkgroupTile { columns: 16, ..tile },
            WorkgroupTile { inner: 12, ..tile },
            WorkgroupTile { inner: usize::MAX, ..tile },
            WorkgroupTile { rows_each: 0, ..tile },
            WorkgroupTile { rows_each: 16, ..tile },
            WorkgroupTile { columns_each: 2, ..tile },
        ] {
            assert_eq!(Choice::Workgroup(nonsense).shape(&hardware, 256), None, "{nonsense:?}");
        }
        assert_eq!(Choice::Row { share: 3 }.shape(&hardware, 256), None);
        assert_eq!(Choice::Attention { rows: 3 }.shape(&hardware, 256), None);
        let cooperative = Some(Cooperative { size: 16, subgroup: 32, block: None });
        let tensor_cores = Shaping { cooperative, ..hardware };
        assert_eq!(Choice::Cooperative { block: [2, 4] }.shape(&hardware, 256), None);
        assert_eq!(Choice::Cooperative { block: [2, 5] }.shape(&tensor_cores, 256), None);
        let shaped = Choice::Cooperative { block: [2, 4] }.shape(&tensor_cores, 256);
        assert_eq!(shaped.and_then(|shaping| shaping.cooperative?.block), Some([2, 4]));
        let without = Choice::Workgroup(tile).shape(&tensor_cores, 256);
        assert_eq!(without.and_then(|shaping| shaping.cooperative), None);
    }

    #[test]
    fn choices_are_readable_in_json() {
        let cut = Choice::Subgroup(Cut { rows: 32, rows_per_lane: 4, columns: 4, height: 1, inner: 2 });
        let text = serde_json::to_string(&cut).expect("json");
        assert_eq!(text, r#"{"subgroup":{"rows":32,"rows_per_lane":4,"columns":4,"height":1,"inner":2}}"#);
        let tile = WorkgroupTile { rows: 64, columns: 32, inner: 16, rows_each: 4, columns_each: 4 };
        let text = serde_json::to_string(&Choice::Workgroup(tile)).expect("json");
        assert_eq!(
            text,
            r#"{"workgroup":{"rows":64,"columns":32,"inner":16,"rows_each":4,"columns_each":4}}"#
        );
    }
}
