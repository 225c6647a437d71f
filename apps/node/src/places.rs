//! Places at the network for those who decide: strangers may fill a node's connections, but keep no
//! validator out.

use std::collections::BTreeSet;
use std::sync::Arc;

use althing_net_iroh::IrohNetwork;
use althing_types::EndpointId;
use tokio::sync::broadcast::error::RecvError;

use crate::chain::Chain;

/// Tells the network who decides, now and after every change of the set.
pub(crate) async fn keep(network: Arc<IrohNetwork>, chain: Arc<Chain>) {
    let mut commits = chain.commits();
    prefer(&network, &chain);
    loop {
        match commits.recv().await {
            Ok(committed) => {
                let header = &committed.header;
                if header.validator_set != header.next_validator_set {
                    prefer(&network, &chain);
                }
            }
            // A change may be among what was missed.
            Err(RecvError::Lagged(_)) => prefer(&network, &chain),
            Err(RecvError::Closed) => return,
        }
    }
}

fn prefer(network: &IrohNetwork, chain: &Chain) {
    let head = chain.reader.head();
    let validators = head.validators.members().iter().map(|validator| validator.endpoint);
    let endpoints: BTreeSet<EndpointId> = validators.collect();
    network.prefer(endpoints);
}
