//! A request as the handlers see it: complete, and without a trace of how it travelled.

/// A complete request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// What follows `?`, still percent-encoded; empty when there is none.
    pub query: String,
    /// Header fields in the order sent: the name in lower case, the value without blanks around it, any bytes.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; the server limits its size.
    pub body: Vec<u8>,
    /// The address of the client for the log; `unix` where it has none.
    pub client: String,
}

impl Request {
    /// The address of the client without its port.
    pub fn address(&self) -> &str {
        let address = self.client.rsplit_once(':').map_or(self.client.as_str(), |(address, _port)| address);
        address.trim_matches(['[', ']'])
    }

    /// The value of the first header field with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_slice())
    }
}
