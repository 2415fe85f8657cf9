//! Explain: what was built, what each pass did, what fused and why not, memory, kernels, machine code.

use crate::compute::plan;
use crate::config::{BackendChoice, Config};
use crate::error::Result;
use crate::plan::{InputLayout, Launchable, Plan, Source, Step};
use crate::rows::Over;
use lazuli_graph::{Expr, Graph, GroupKind, NodeId, Op};
use lazuli_jit::Role;
use lazuli_runtime::threads::Threads;
use std::fmt::{self, Write};

/// How deep an explanation goes; each level includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Level {
    /// The graph before and after the passes, fusion, memory.
    #[default]
    Graph,
    /// The kernels' lane programs.
    Kernel,
    /// Cranelift's IR.
    Clif,
    /// Machine code.
    Asm,
}

impl std::str::FromStr for Level {
    type Err = String;
    fn from_str(s: &str) -> std::result::Result<Self, String> {
        match s {
            "graph" => Ok(Level::Graph),
            "kernel" => Ok(Level::Kernel),
            "clif" => Ok(Level::Clif),
            "asm" => Ok(Level::Asm),
            _ => Err(format!("unknown level '{s}'; known are graph, kernel, clif, asm")),
        }
    }
}

/// An explanation of expressions; prints itself.
pub struct Explanation {
    built: Graph,
    plan: Plan,
    level: Level,
    config: Config,
}

/// Explains how expressions would be computed, without computing them.
///
/// # Errors
/// Internal errors only.
pub fn explain(roots: &[Expr], config: &Config, level: Level) -> Result<Explanation> {
    let (built, plan) = plan(roots, config)?;
    Ok(Explanation { built, plan, level, config: config.clone() })
}

/// Explains a graph for inputs that lie so.
///
/// # Errors
/// Internal errors only.
pub fn explain_graph(graph: Graph, inputs: &[InputLayout], config: &Config, level: Level) -> Result<Explanation> {
    let plan = Plan::new(graph.clone(), inputs, config, true)?;
    Ok(Explanation { built: graph, plan, level, config: config.clone() })
}

impl Explanation {
    /// The optimized graph for Graphviz.
    pub fn dot(&self) -> String {
        self.plan.graph.dot()
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// `bytes` in a unit that keeps it short.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut x, mut unit) = (bytes as f64, 0);
    while x >= 1024.0 && unit + 1 < UNITS.len() {
        (x, unit) = (x / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{x:.1} {}", UNITS[unit]) }
}

impl Explanation {
    /// `own`: a kernel's machine code is shown.
    fn step(&self, f: &mut fmt::Formatter<'_>, number: &str, step: &Step, own: bool) -> fmt::Result {
        let graph = &self.plan.graph;
        match step {
            Step::Map { run, in_place } => {
                writeln!(
                    f,
                    "step {number}: map over {:?}, {} threads at most",
                    run.extents.as_slice(),
                    self.threads()
                )?;
                self.run(f, run, own)?;
                for (output, input) in in_place.iter().enumerate() {
                    if let Some(input) = input {
                        writeln!(
                            f,
                            "  output {output} takes the memory of operand {input}, which nothing reads after"
                        )?;
                    }
                }
                Ok(())
            }
            Step::Reduce { run, kept, outer, inner, sinks } => {
                let names: Vec<&str> = run.nodes.iter().map(|n| graph.node(*n).op.name()).collect();
                writeln!(f, "step {number}: {} over {:?}", names.join(", "), run.extents.as_slice())?;
                let (head, tail) = run.extents.split_at(*outer);
                let (rows, across) = head.split_at(*kept);
                if *inner {
                    writeln!(f, "  results {rows:?}; each over {across:?} runs of {tail:?}")?;
                } else {
                    writeln!(f, "  results {rows:?} by {tail:?}; each over {across:?} rows")?;
                }
                writeln!(f, "  {} results from {} scratch tiles", sinks.len(), self.scratches(run))?;
                self.run(f, run, own)
            }
            Step::Scan { run, .. } => {
                let names: Vec<&str> = run.nodes.iter().map(|n| graph.node(*n).op.name()).collect();
                writeln!(f, "step {number}: {} over {:?}", names.join(", "), run.extents.as_slice())?;
                self.run(f, run, own)
            }
            Step::Rows(rows) => {
                let (steps, threads) = (rows.steps.len(), self.threads());
                let (what, how) = match rows.over {
                    Over::Rows(count) => {
                        let chunk = rows.chunk;
                        writeln!(
                            f,
                            "step {number}: {steps} steps over {count} rows, in chunks of {chunk}, {threads} threads at most"
                        )?;
                        ("row", "all rows of a part at once, each step about a row behind the one before it")
                    }
                    Over::Columns([count, height, width]) => {
                        writeln!(
                            f,
                            "step {number}: {steps} steps over {width} columns of {count} by {height} rows, {threads} threads at most"
                        )?;
                        ("column", "a few columns at a time, all steps after one another")
                    }
                };
                for (slot, row) in &rows.written {
                    let bytes = if let Over::Columns([.., width]) = rows.over { row / width } else { *row };
                    let kept = if rows.is_temporary(*slot) {
                        format!("only while its {what}s are in the cache")
                    } else {
                        "stored".to_owned()
                    };
                    writeln!(f, "  buffer {slot}: {bytes} bytes a {what}, {kept}")?;
                }
                let compiles = matches!(self.config.backend, BackendChoice::Wide | BackendChoice::Auto);
                if compiles && self.level < Level::Asm && rows.may_be_whole() {
                    writeln!(f, "  compiled as one code if that can be, {how}")?;
                }
                // Only who wants to see the code waits for it.
                let whole = if compiles && self.level >= Level::Asm { rows.whole() } else { None };
                match whole {
                    Some(Ok(code)) => {
                        writeln!(f, "  compiled as one code, {how}")?;
                        let (target, size) = (self.config.target.name(), code.code_size());
                        let title = format!("machine code for {target} by wide, of all steps, {size} bytes");
                        indented(f, &title, &code.asm())?;
                    }
                    Some(Err(why)) => writeln!(f, "  each step has its own code: {why}")?,
                    None => {}
                }
                let own = !matches!(whole, Some(Ok(_)));
                let mut steps = rows.steps.iter().enumerate();
                steps.try_for_each(|(i, step)| self.step(f, &format!("{number}.{i}"), step, own))
            }
            Step::Matmul { left, right, dtype, node, .. } => {
                writeln!(f, "step {number}: library call matmul {dtype} {} by {} for {node}", left.1, right.1)
            }
        }
    }

    fn threads(&self) -> usize {
        Threads::count(self.config.threads)
    }

    fn scratches(&self, run: &Launchable) -> usize {
        run.accesses.iter().filter(|a| a.source == Source::Scratch).count()
    }

    fn run(&self, f: &mut fmt::Formatter<'_>, run: &Launchable, own: bool) -> fmt::Result {
        let kernel = run.kernel.kernel();
        for (i, (a, o)) in run.accesses.iter().zip(&kernel.operands).enumerate() {
            let role = format!("{:?}", o.role).to_lowercase();
            let class = format!("{:?}", o.class).to_lowercase();
            let source = match a.source {
                Source::Slot(s) => format!("buffer {s} + {}", a.offset),
                Source::Scratch => "scratch".to_owned(),
                Source::Index => format!("from {}", a.offset),
            };
            writeln!(f, "  operand {i}: {role} {} {class}, {source}, strides {:?}", o.dtype, a.strides.as_slice())?;
        }
        if let Some([rows, columns]) = run.layout.tile() {
            writeln!(f, "  an input is transposed: in tiles of {rows} rows and {columns} columns")?;
        }
        let stores = kernel.operands.iter().zip(&run.accesses);
        let mut stores = stores.filter(|(o, a)| o.role == Role::Output && matches!(a.source, Source::Slot(_)));
        if run.far && stores.next().is_none() {
            writeln!(
                f,
                "  inputs are larger than the last cache: code that reduces rows asks for them ahead of use where that pays"
            )?;
        } else if run.far {
            writeln!(f, "  outputs are larger than the last cache, and written around it where rows begin alike")?;
        }
        let narrow = run.kernel.target();
        if narrow.name() != self.config.target.name() {
            writeln!(
                f,
                "  for {}: inputs are neighbours in memory, and wider vectors would lie across lines",
                narrow.name()
            )?;
        }
        writeln!(f, "  kernel: {} lane instructions, cost {} an element", kernel.insts.len(), run.kernel.weight())?;
        if self.level >= Level::Kernel {
            indented(f, "lane program", &kernel.to_string())?;
        }
        if self.level >= Level::Clif {
            match run.kernel.clif() {
                Ok(code) => indented(f, "clif", code.clif().as_deref().unwrap_or("none"))?,
                Err(e) => writeln!(f, "  no clif: {e}")?,
            }
        }
        if own && self.level >= Level::Asm {
            self.machine_code(f, run)?;
        }
        Ok(())
    }
}

impl Explanation {
    /// The code that runs once a kernel is compiled, and where it is not the widest, why.
    fn machine_code(&self, f: &mut fmt::Formatter<'_>, run: &Launchable) -> fmt::Result {
        let kernel = &run.kernel;
        let clif = self.config.backend == BackendChoice::Clif;
        if let (false, Err(why)) = (clif, kernel.wide()) {
            writeln!(f, "  not wide: {why}")?;
        }
        if let (false, true, Some(code)) = (clif, run.folds, kernel.folded()) {
            let (target, size) = (kernel.target().name(), code.code_size());
            let title = format!("machine code for {target} by {}, with the reduction, {size} bytes", code.backend());
            return indented(f, &title, code.asm().as_deref().unwrap_or("none"));
        }
        let code = if clif { kernel.clif().as_ref().map_err(Clone::clone) } else { kernel.native() };
        match code {
            Ok(code) => {
                let (target, size) = (kernel.target().name(), code.code_size());
                let title = format!("machine code for {target} by {}, {size} bytes", code.backend());
                indented(f, &title, code.asm().as_deref().unwrap_or("none"))
            }
            Err(e) => writeln!(f, "  not compiled, interpreted: {e}"),
        }
    }
}

fn indented(f: &mut fmt::Formatter<'_>, title: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {title}:")?;
    text.lines().try_for_each(|line| writeln!(f, "    {line}"))
}

/// A node as a user would call it: what it does and where it was built.
fn describe(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let mut text = format!("{id} {}", node.op.name());
    if let Some(at) = node.at {
        let _ = write!(text, " ({at})");
    }
    text
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { graph, fusion, reports, .. } = &self.plan;
        writeln!(f, "graph as built, {} nodes:", self.built.len())?;
        self.built.to_string().lines().try_for_each(|l| writeln!(f, "  {l}"))?;
        let casts = self.built.ids().filter(|id| self.built.node(*id).op == Op::Cast);
        for id in casts {
            let from = self.built.node(self.built.operands(id)[0]).dtype;
            writeln!(f, "  promotion: {} from {from} to {}", describe(&self.built, id), self.built.node(id).dtype)?;
        }
        writeln!(f, "passes:")?;
        for r in reports {
            writeln!(f, "  {}: {} rewrites, {} -> {} nodes", r.pass, r.rewrites, r.before, r.after)?;
            r.changes.iter().try_for_each(|c| writeln!(f, "    {c}"))?;
        }
        if !self.config.disabled.is_empty() {
            writeln!(f, "  switched off: {}", self.config.disabled)?;
        }
        writeln!(f, "graph after the passes, {} nodes:", graph.len())?;
        graph.to_string().lines().try_for_each(|l| writeln!(f, "  {l}"))?;
        writeln!(f, "fusion: {} kernels", fusion.groups.iter().filter(|g| g.kind != GroupKind::Matmul).count())?;
        for group in &fusion.groups {
            let roots: Vec<String> = group.roots.iter().map(|r| describe(graph, *r)).collect();
            writeln!(f, "  {:?} over {}, cost {}: {}", group.kind, group.shape, group.weight, roots.join("; "))?;
        }
        for (id, why) in &fusion.notes {
            writeln!(f, "  {} {why}", describe(graph, *id))?;
        }
        writeln!(
            f,
            "memory: {} buffers beside {} inputs, peak {}, {} moved",
            self.plan.slots.len() - self.plan.inputs,
            self.plan.inputs,
            human(self.plan.peak),
            human(self.plan.moved)
        )?;
        for r in &self.plan.rejected {
            writeln!(
                f,
                "not row by row: {} steps share {} rows, but a row takes {} and may take {}",
                r.steps,
                r.rows,
                human(r.row as u64),
                human(r.limit as u64)
            )?;
        }
        writeln!(
            f,
            "precision {}, backend {}, target {}",
            self.config.precision,
            self.config.backend,
            self.config.target.name()
        )?;
        self.plan.steps.iter().enumerate().try_for_each(|(i, step)| self.step(f, &i.to_string(), step, true))
    }
}
