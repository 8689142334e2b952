//! One fault after the other, while the controller's builds run.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::agent::{Agent, AgentCommand, Holdings};
use crate::controller::{Controller, ControllerCommand, Event};
use crate::error::Error;
use crate::figures::Figures;
use crate::plan::{Fault, Plan, Side, Step};
use crate::proxy::{Flow, Order, Proxy};

/// How long the first connection, a JVM's start included, and the last builds may take.
const START: Duration = Duration::from_secs(60);
const LAST_BUILDS: Duration = Duration::from_secs(180);
/// For a connection that may be cut after so many bytes: how long they may take to come.
const UNTIL_CUT: Duration = Duration::from_secs(3);
/// How long the controller has the connection of an agent that comes back, or that was killed: longer than the
/// agent may take, so that only its cookie lets it in.
const OVERTAKEN: Duration = Duration::from_secs(120);
/// How long processes of builds may take to end.
const LAST_PROCESSES: Duration = Duration::from_secs(30);
/// Until the agent has given back what its last connection and builds needed: idle threads of its pool end after
/// ten seconds.
const SETTLE: Duration = Duration::from_secs(11);
/// A fresh agent's descriptors are as many as those of one in use, but for what is open at the moment.
const SPARE: usize = 2;

/// What a campaign is about.
pub struct Settings {
    /// The faults.
    pub plan: Plan,
    /// The first and the last of them.
    pub range: std::ops::RangeInclusive<u64>,
    /// How long the agent may take to answer again after a fault.
    pub bound: Duration,
    /// How the agent is started.
    pub agent: AgentCommand,
    /// How the controller is started.
    pub controller: ControllerCommand,
    /// The port of the proxy before the controller's HTTP port.
    pub http_port: u16,
    /// That before its port for agents, if they come over TCP.
    pub agent_port: Option<u16>,
    /// Where each fault is noted.
    pub log: PathBuf,
}

/// A campaign that runs.
pub struct Campaign {
    settings: Settings,
    http: Proxy,
    agents: Option<Proxy>,
    agent: Agent,
    controller: Option<Controller>,
    log: std::fs::File,
    begin: Instant,
    online: bool,
    probes: u64,
    figures: Figures,
}

/// Runs it; the number of the fault at which it failed stands with the failure.
pub async fn run(settings: Settings) -> Result<Figures, (u64, Error)> {
    let first = *settings.range.start();
    let mut campaign = Campaign::start(settings).await.map_err(|error| (first, error))?;
    let result = campaign.run().await;
    if let Err((number, error)) = &result {
        let _ = campaign.note(&format!("FAILED at fault {number}: {error}"));
        let _ = campaign.agent.kill().await;
        let _ = campaign.settings.agent.end_others();
    }
    result.map(|()| campaign.figures)
}

impl Campaign {
    async fn start(settings: Settings) -> Result<Self, Error> {
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let http = Proxy::start(settings.http_port, here(settings.controller.port));
        let http = http.map_err(Error::system("the proxy cannot listen"))?;
        let agents = match settings.agent_port {
            Some(port) => {
                let proxy = Proxy::start(port, here(port));
                Some(proxy.map_err(Error::system("the proxy cannot listen"))?)
            }
            None => None,
        };
        let log = std::fs::File::create(&settings.log).map_err(Error::file(&settings.log))?;
        let controller = settings.controller.start()?;
        let agent = settings.agent.start()?;
        let mut campaign = Self {
            settings,
            http,
            agents,
            agent,
            controller: Some(controller),
            log,
            begin: Instant::now(),
            online: false,
            probes: 0,
            figures: Figures::default(),
        };
        campaign.until_ready().await?;
        campaign.until_answered(START).await?;
        Ok(campaign)
    }

    /// The proxy that the channel goes through.
    fn proxy(&self) -> &Proxy {
        self.agents.as_ref().unwrap_or(&self.http)
    }

    fn note(&mut self, text: &str) -> Result<(), Error> {
        let at = self.begin.elapsed().as_secs_f64();
        writeln!(self.log, "{at:9.3} {text}").map_err(Error::file(&self.settings.log))
    }

    async fn run(&mut self) -> Result<(), (u64, Error)> {
        let range = self.settings.range.clone();
        let last = *range.end();
        for number in range {
            let step = self.settings.plan.step(number);
            self.step(step).await.map_err(|error| (number, error))?;
        }
        self.finish().await.map_err(|error| (last, error))
    }

    async fn step(&mut self, step: Step) -> Result<(), Error> {
        if step.early {
            // Cut off first, so that there is a connection to be early for.
            let mut opened = self.http.opened();
            opened.borrow_and_update();
            self.cut(Order::Reset);
            let _ = tokio::time::timeout(self.settings.bound, opened.changed()).await;
        }
        self.listen_for(step.pause).await?;
        let early = if step.early { " while the agent connects" } else { "" };
        self.note(&format!("fault {}: {}{early}", step.number, step.fault))?;
        self.inflict(step.fault).await?;
        let over = Instant::now();
        self.until_answered(self.settings.bound).await?;
        let back = over.elapsed();
        self.figures.fault(step.fault.kind(), back);
        self.note(&format!("fault {}: back after {} ms", step.number, back.as_millis()))
    }

    fn cut(&self, order: Order) -> usize {
        self.http.order(order) + self.agents.as_ref().map_or(0, |proxy| proxy.order(order))
    }

    fn flow(&self, side: Side, flow: Flow) {
        let of = |this| if side == this || side == Side::Both { flow } else { Flow::Pass };
        let order = Order::Flow {
            from_agent: of(Side::FromAgent),
            from_controller: of(Side::FromController),
        };
        self.cut(order);
    }

    /// Does the harm, and returns when nothing more is to come of it.
    async fn inflict(&mut self, fault: Fault) -> Result<(), Error> {
        match fault {
            Fault::Cut => {
                self.cut(Order::Cut);
            }
            Fault::Reset => {
                self.cut(Order::Reset);
            }
            Fault::CutAfter { side, bytes } => {
                self.flow(side, Flow::Last(bytes));
                if !self.proxy().ended(UNTIL_CUT).await {
                    self.note("so many bytes did not come: reset")?;
                    self.proxy().end_doomed();
                }
            }
            Fault::Stall { side, time } => {
                self.flow(side, Flow::Stall);
                self.listen_for(time).await?;
                self.flow(Side::Both, Flow::Pass);
            }
            Fault::StallAndDie { side, time } => {
                self.flow(side, Flow::Stall);
                self.listen_for(time).await?;
                self.cut(Order::Reset);
            }
            Fault::Delay { by, time } => {
                self.flow(Side::Both, Flow::Delay(by));
                self.listen_for(time).await?;
                self.flow(Side::Both, Flow::Pass);
            }
            Fault::Throttle { bytes_per_second, time } => {
                self.flow(Side::Both, Flow::Throttle(bytes_per_second));
                self.listen_for(time).await?;
                self.flow(Side::Both, Flow::Pass);
            }
            Fault::HalfOpen { side } => self.half_open(side).await?,
            Fault::Overtaken => {
                self.cut(Order::ResetAgent(OVERTAKEN));
            }
            Fault::Refuse { time } => {
                self.http.refuse().await;
                if let Some(agents) = &self.agents {
                    agents.refuse().await;
                }
                self.cut(Order::Cut);
                self.listen_for(time).await?;
                let again = Error::system("the proxy cannot listen again");
                self.http.listen_again().await.map_err(again)?;
                if let Some(agents) = &self.agents {
                    let again = Error::system("the proxy cannot listen again");
                    agents.listen_again().await.map_err(again)?;
                }
            }
            Fault::Storm { times, pause } => {
                for time in 0..times {
                    if time > 0 {
                        self.listen_for(pause).await?;
                    }
                    self.cut(Order::Reset);
                }
            }
            Fault::KillAgent { held, away } => {
                if held {
                    self.cut(Order::HoldForController(OVERTAKEN));
                }
                self.agent.kill().await?;
                self.listen_for(away).await?;
                self.agent = self.settings.agent.start()?;
            }
            Fault::KillController { away } => self.restart_controller(away).await?,
        }
        Ok(())
    }

    /// Only a connection that is set up knows how often to ping; one in its first steps has limits of a minute, for
    /// slow controllers, and is ended here instead.
    async fn half_open(&mut self, side: Side) -> Result<(), Error> {
        self.flow(side, Flow::Swallow);
        if !self.online {
            self.listen_for(Duration::from_secs(2)).await?;
            self.proxy().end_doomed();
            self.http.end_doomed();
        }
        Ok(())
    }

    async fn restart_controller(&mut self, away: Duration) -> Result<(), Error> {
        if let Some(controller) = self.controller.take() {
            for event in controller.kill().await? {
                self.take(event)?;
            }
        }
        self.online = false;
        sleep(away).await;
        self.controller = Some(self.settings.controller.start()?);
        self.until_ready().await
    }

    /// The next event, or nothing until then.
    async fn event_until(&mut self, until: tokio::time::Instant) -> Result<Option<Event>, Error> {
        let Some(controller) = &mut self.controller else {
            tokio::time::sleep_until(until).await;
            return Ok(None);
        };
        match tokio::time::timeout_at(until, controller.next()).await {
            Ok(event) => {
                let event = event?;
                self.take(event.clone())?;
                Ok(Some(event))
            }
            Err(_) => Ok(None),
        }
    }

    /// What the controller tells is noted, whatever is waited for.
    fn take(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Online { connection } => {
                self.online = true;
                self.note(&format!("online over connection {connection}"))?;
            }
            Event::Offline { connection, reason } => {
                self.online = false;
                self.note(&format!("connection {connection} ended: {reason}"))?;
            }
            Event::Build(build) => self.figures.build(&build),
            Event::Failed { number, why, trace } => {
                return Err(Error::Build { number, why, trace });
            }
            Event::Unset { connection, reason } => {
                return Err(Error::Breach(format!("connection {connection}: {reason}")));
            }
            Event::Breach { connection, complaints } => {
                let text = format!("connection {connection}: {}", complaints.join("; "));
                return Err(Error::Breach(text));
            }
            Event::Ready { .. } | Event::Probe { .. } | Event::Finished { .. } => {}
        }
        Ok(())
    }

    async fn listen_for(&mut self, time: Duration) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + time;
        while self.event_until(until).await?.is_some() {}
        Ok(())
    }

    async fn until_ready(&mut self) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + START;
        while let Some(event) = self.event_until(until).await? {
            if let Event::Ready { agent_port } = event {
                if let Some(proxy) = &self.agents {
                    proxy.set_target(SocketAddr::from((Ipv4Addr::LOCALHOST, agent_port)));
                }
                return Ok(());
            }
        }
        Err(Error::Controller("was not ready in time".to_owned()))
    }

    /// Waits until the agent has answered a question that was put now.
    async fn until_answered(&mut self, bound: Duration) -> Result<(), Error> {
        self.probes += 1;
        let wanted = self.probes;
        self.say(&format!("probe {wanted}")).await?;
        let until = tokio::time::Instant::now() + bound;
        while let Some(event) = self.event_until(until).await? {
            if event == (Event::Probe { number: wanted }) {
                return Ok(());
            }
        }
        match self.agent.ended() {
            Some(status) => Err(Error::AgentEnded(status)),
            None => {
                self.say("threads").await?;
                self.listen_for(Duration::from_secs(1)).await?;
                Err(Error::NotBack(bound))
            }
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), Error> {
        match &mut self.controller {
            Some(controller) => controller.say(line).await,
            None => Ok(()),
        }
    }

    /// Lets the builds end in peace and looks at what is left.
    async fn finish(&mut self) -> Result<(), Error> {
        self.note("no more faults: the last builds end")?;
        self.say("finish").await?;
        let until = tokio::time::Instant::now() + LAST_BUILDS;
        let problems = loop {
            match self.event_until(until).await? {
                Some(Event::Finished { problems }) => break problems,
                Some(_) => {}
                None => return Err(Error::Left("builds that do not end".to_owned())),
            }
        };
        if !problems.is_empty() {
            return Err(Error::Left(problems.join("; ")));
        }
        self.no_orphans().await?;
        let last = self.settled_agent().await?;
        // What a fresh agent holds is measured after the same questions, in the same state.
        self.agent.kill().await?;
        self.agent = self.settings.agent.start()?;
        self.until_answered(self.settings.bound).await?;
        let fresh = self.settled_agent().await?;
        let opened = *self.proxy().opened().borrow();
        self.figures.connections = opened;
        self.figures.held = Some((fresh.clone(), last.clone()));
        if last.count() > fresh.count() + SPARE {
            return Err(Error::Left(last.more_than(&fresh).join(", ")));
        }
        if last.threads > fresh.threads + SPARE {
            let text = format!("{} threads instead of {}", last.threads, fresh.threads);
            return Err(Error::Left(text));
        }
        Ok(())
    }

    async fn no_orphans(&mut self) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let left = self.settings.agent.others_than(self.agent.pid())?;
            if left.is_empty() {
                return Ok(());
            }
            if begin.elapsed() > LAST_PROCESSES {
                return Err(Error::Left(format!("processes: {}", left.join("; "))));
            }
            self.listen_for(Duration::from_millis(500)).await?;
        }
    }

    /// What the agent holds once that no longer becomes less.
    async fn settled_agent(&mut self) -> Result<Holdings, Error> {
        let begin = Instant::now();
        let mut least = self.agent.holdings()?;
        while begin.elapsed() < SETTLE {
            self.listen_for(Duration::from_millis(500)).await?;
            let now = self.agent.holdings()?;
            if now.count() + now.threads <= least.count() + least.threads {
                least = now;
            }
        }
        Ok(least)
    }
}
