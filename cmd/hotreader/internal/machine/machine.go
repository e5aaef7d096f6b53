// Package machine simulates the telemetry of a pump: it rests, starts,
// warms up, runs through load cycles, wears, trips and is repaired, over and
// over. The same seed makes the same signal.
package machine

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"hotreader"
)

// Property is one measured value of the machine.
type Property struct {
	Name string
	Type hotreader.Type
	Unit string // "" = none
}

// Properties lists what a Machine reports, in the order of its records' fields.
func Properties() []Property {
	return []Property{
		{"temperature", hotreader.Double, "°C"},
		{"vibration", hotreader.Double, "mm/s"},
		{"speed", hotreader.Integer, "rpm"},
		{"running", hotreader.Boolean, ""},
		{"state", hotreader.ShortString, ""},
	}
}

// The machine's constants: rotations per minute, degrees Celsius, millimetres
// per second, seconds.
const (
	nominal    = 1480.0 // speed under load
	idling     = 620.0
	spinUp     = 25.0  // time constant of the drive
	runDown    = 70.0  // and of the free rotor
	heating    = 780.0 // time constant of the bearing's temperature, turning
	cooling    = 1500.0
	warmAt     = 55.0 // above this the machine takes load
	alarmAt    = 86.0
	tripAt     = 95.0
	alarmShake = 7.1 // ISO 10816's limit for this class of machine
	damageAge  = 520.0
)

// Machine is the pump. It is not safe for concurrent use.
type Machine struct {
	random *rand.Rand
	step   time.Duration
	time   time.Time

	state  string
	left   float64 // seconds until the state's next decision
	load   float64 // 0 to 1
	speed  float64
	heat   float64 // the bearing's temperature
	drift  float64 // the sensor's
	damage float64 // of the bearing: 0 = sound
	wear   float64 // running seconds until the damage begins
	dark   float64 // seconds for which the temperature sensor stays silent
	lull   bool    // the load cycle is at its pause
}

// New returns a machine that reports every step, first at start.
func New(seed uint64, start time.Time, step time.Duration) *Machine {
	r := rand.New(rand.NewPCG(seed, 0x6d616368696e65))
	m := &Machine{random: r, step: step, time: start.UTC(), state: "off", heat: 21 + 2*r.Float64()}
	m.left = m.between(120, 420)
	m.wear = m.between(5400, 6600)
	return m
}

func (m *Machine) between(low, high float64) float64 { return low + (high-low)*m.random.Float64() }

// Resume makes the machine report every step from now on, first at start.
func (m *Machine) Resume(start time.Time, step time.Duration) { m.time, m.step = start.UTC(), step }

// Next returns the next record. Values are missing now and then, as sensors and
// radio links make them; the state never is.
func (m *Machine) Next() hotreader.Record {
	m.live(m.step.Seconds())
	at := m.time.Add(m.jitter())
	m.time = m.time.Add(m.step)

	shake := 0.12 + 2.4*math.Pow(m.speed/nominal, 2)*(0.6+0.5*m.load) + 6*m.damage*m.speed/nominal
	shake *= math.Exp(0.06 * m.random.NormFloat64())
	if m.speed > 100 && m.random.Float64() < 0.003 {
		shake *= m.between(1.8, 2.8) // a shock: a valve, a fork lift
	}
	record := hotreader.Record{Time: at, Fields: make([]hotreader.Field, 0, 5)}
	add := func(name string, v hotreader.Value) {
		if m.random.Float64() >= 0.006 {
			record.Fields = append(record.Fields, hotreader.Field{Name: name, Value: v})
		}
	}
	if m.dark <= 0 {
		add("temperature", decimal(m.heat+m.drift+0.12*m.random.NormFloat64(), 2))
	}
	add("vibration", decimal(shake, 3))
	add("speed", hotreader.Int64Value(int64(math.Max(0, math.Round(m.speed+math.Min(m.speed/200, 2.5)*m.random.NormFloat64())))))
	add("running", hotreader.BoolValue(m.running()))
	record.Fields = append(record.Fields, hotreader.Field{Name: "state", Value: hotreader.StringValue([]byte(m.state))})
	return record
}

func decimal(f float64, places int) hotreader.Value {
	return hotreader.NumberValue(strconv.AppendFloat(nil, f, 'f', places, 64))
}

// jitter is what a device's clock adds: milliseconds mostly, so that times come
// in several widths.
func (m *Machine) jitter() time.Duration {
	switch m.random.IntN(16) {
	case 0:
		return 0
	case 1:
		return time.Duration(m.random.IntN(40_000)) * time.Microsecond
	}
	return time.Duration(m.random.IntN(40)) * time.Millisecond
}

func (m *Machine) running() bool {
	return m.state == "warm-up" || m.state == "running" || m.state == "idle" || m.state == "alarm"
}

// live lets dt seconds pass.
func (m *Machine) live(dt float64) {
	m.left -= dt
	m.dark -= dt
	if m.random.Float64() < dt/9000 {
		m.dark = m.between(30, 120)
	}
	m.drift += -m.drift*dt/1200 + 0.012*math.Sqrt(dt)*m.random.NormFloat64()
	m.decide()

	want, lag := 0.0, runDown
	switch m.state {
	case "warm-up", "running", "alarm":
		want, lag = nominal-30*m.load, spinUp
	case "idle":
		want, lag = idling, spinUp
	}
	m.speed += (want - m.speed) * (1 - math.Exp(-dt/lag))
	if want == 0 && m.speed < 4 {
		m.speed = 0
	}

	day := 2 * math.Pi * float64(m.time.Unix()%86400) / 86400
	room := 22 - 2.5*math.Cos(day)
	turning := m.speed / nominal
	target := room + turning*(24+24*m.load) + 85*m.damage*turning
	lag = cooling
	if m.running() {
		lag = heating
	}
	m.heat += (target - m.heat) * (1 - math.Exp(-dt/lag))

	if m.running() {
		if m.wear -= dt; m.wear <= 0 {
			m.damage = math.Min(1, math.Max(m.damage, 0.02)*math.Exp(dt/damageAge))
		}
	}
}

// decide moves the machine from state to state.
func (m *Machine) decide() {
	over := m.heat >= alarmAt || 6*m.damage >= alarmShake-3
	switch m.state {
	case "off", "repaired":
		if m.left <= 0 {
			m.state, m.load = "warm-up", 0.45
		}
	case "warm-up":
		if m.heat >= warmAt {
			m.cycle()
		}
	case "running", "idle":
		switch {
		case over:
			m.state, m.load = "alarm", 0.9
		case m.left <= 0:
			m.cycle()
		}
	case "alarm":
		if m.heat >= tripAt {
			m.state, m.left = "tripped", m.between(1200, 1800)
		}
	case "tripped":
		if m.left <= 0 {
			m.state, m.left = "repaired", m.between(240, 480)
			m.damage, m.wear = 0, m.between(5400, 9000)
		}
	}
}

// cycle begins the next load: work of some minutes, then perhaps a pause.
func (m *Machine) cycle() {
	if m.lull = !m.lull && m.state == "running" && m.random.Float64() < 0.4; m.lull {
		m.state, m.load, m.left = "idle", 0.1, m.between(150, 420)
		return
	}
	m.state, m.load, m.left = "running", m.between(0.55, 1), m.between(300, 900)
}
