//! Recurrent networks: the hidden states, and the last state.

use wgrad::nn::{Gru, Lstm, RecurrentConfig, Rnn};
use wgrad::prelude::*;

use crate::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    let plain = || RecurrentConfig::new(3, 4);
    let both = || RecurrentConfig::new(3, 2).layers(2).bidirectional();
    vec![
        rnn("RNN", |v| Rnn::new(v, 3, 4)),
        rnn("RNN/no-bias", move |v| plain().no_bias().rnn(v)),
        rnn("RNN/deep", move |v| plain().layers(2).rnn(v)),
        rnn("RNN/bidirectional", move |v| both().rnn(v)),
        rnn("RNN/relu", |v| Rnn::new(v, 3, 4).relu()),
        rnn("RNN/state", |v| Rnn::new(v, 3, 4)),
        lstm("LSTM", |v| Lstm::new(v, 3, 4)),
        lstm("LSTM/no-bias", move |v| plain().no_bias().lstm(v)),
        lstm("LSTM/deep", move |v| plain().layers(2).lstm(v)),
        lstm("LSTM/bidirectional", move |v| both().lstm(v)),
        lstm("LSTM/state", |v| Lstm::new(v, 3, 4)),
        gru("GRU", |v| Gru::new(v, 3, 4)),
        gru("GRU/no-bias", move |v| plain().no_bias().gru(v)),
        gru("GRU/deep", move |v| plain().layers(2).gru(v)),
        gru("GRU/bidirectional", move |v| both().gru(v)),
        gru("GRU/state", |v| Gru::new(v, 3, 4)),
    ]
}

fn rnn(name: &'static str, build: impl Fn(&Vars) -> Rnn + 'static) -> Case {
    Case::new(name, move |vars, x| {
        let (output, hidden) = build(vars).run(&x[0], None, x.get(1));
        vec![output, hidden]
    })
}

fn lstm(name: &'static str, build: impl Fn(&Vars) -> Lstm + 'static) -> Case {
    Case::new(name, move |vars, x| {
        let (output, (hidden, memory)) = build(vars).run(&x[0], None, x.get(1).zip(x.get(2)));
        vec![output, hidden, memory]
    })
}

fn gru(name: &'static str, build: impl Fn(&Vars) -> Gru + 'static) -> Case {
    Case::new(name, move |vars, x| {
        let (output, hidden) = build(vars).run(&x[0], None, x.get(1));
        vec![output, hidden]
    })
}
