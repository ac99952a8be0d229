use super::numbers;

numbers! {
    /// Type of a mode config message (draft-ietf-ipsec-isakmp-mode-cfg-05 section 3.3).
    ConfigKind(u8) {
        REQUEST = 1 "request",
        REPLY = 2 "reply",
        SET = 3 "set",
        ACK = 4 "ack",
    }
}

numbers! {
    /// Attribute type of mode config, XAUTH, Cisco Unity or Microsoft.
    ///
    /// Check Point uses the numbers 13 to 20 for its own XAUTH.
    ConfigAttribute(u16) {
        IP4_ADDRESS = 1 "INTERNAL_IP4_ADDRESS",
        IP4_NETMASK = 2 "INTERNAL_IP4_NETMASK",
        IP4_DNS = 3 "INTERNAL_IP4_DNS",
        IP4_NBNS = 4 "INTERNAL_IP4_NBNS",
        ADDRESS_EXPIRY = 5 "INTERNAL_ADDRESS_EXPIRY",
        IP4_DHCP = 6 "INTERNAL_IP4_DHCP",
        APPLICATION_VERSION = 7 "APPLICATION_VERSION",
        IP6_ADDRESS = 8 "INTERNAL_IP6_ADDRESS",
        IP6_NETMASK = 9 "INTERNAL_IP6_NETMASK",
        IP6_DNS = 10 "INTERNAL_IP6_DNS",
        IP6_NBNS = 11 "INTERNAL_IP6_NBNS",
        IP6_DHCP = 12 "INTERNAL_IP6_DHCP",
        IP4_SUBNET = 13 "INTERNAL_IP4_SUBNET",
        SUPPORTED_ATTRIBUTES = 14 "SUPPORTED_ATTRIBUTES",
        IP6_SUBNET = 15 "INTERNAL_IP6_SUBNET",
        MIP6_HOME_PREFIX = 16 "MIP6_HOME_PREFIX",
        IP6_LINK = 17 "INTERNAL_IP6_LINK",
        IP6_PREFIX = 18 "INTERNAL_IP6_PREFIX",
        HOME_AGENT = 19 "HOME_AGENT_ADDRESS",
        P_CSCF_IP4 = 20 "P_CSCF_IP4_ADDRESS",
        P_CSCF_IP6 = 21 "P_CSCF_IP6_ADDRESS",
        FTT_KAT = 22 "FTT_KAT",
        EXTERNAL_SOURCE_NAT = 23 "EXTERNAL_SOURCE_IP4_NAT_INFO",
        DPD_TIMEOUT = 24 "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK",
        DNS_DOMAIN = 25 "INTERNAL_DNS_DOMAIN",
        DNSSEC_TRUST_ANCHOR = 26 "INTERNAL_DNSSEC_TA",
        CHECK_POINT_TYPE = 16387 "Check Point 16387",
        CHECK_POINT_STATUS = 16388 "Check Point 16388",
        CHECK_POINT_MESSAGE = 16389 "Check Point 16389",
        CHECK_POINT_16400 = 16400 "Check Point 16400",
        CHECK_POINT_16401 = 16401 "Check Point 16401",
        CHECK_POINT_16402 = 16402 "Check Point 16402",
        XAUTH_TYPE = 16520 "XAUTH_TYPE",
        XAUTH_USER_NAME = 16521 "XAUTH_USER_NAME",
        XAUTH_USER_PASSWORD = 16522 "XAUTH_USER_PASSWORD",
        XAUTH_PASSCODE = 16523 "XAUTH_PASSCODE",
        XAUTH_MESSAGE = 16524 "XAUTH_MESSAGE",
        XAUTH_CHALLENGE = 16525 "XAUTH_CHALLENGE",
        XAUTH_DOMAIN = 16526 "XAUTH_DOMAIN",
        XAUTH_STATUS = 16527 "XAUTH_STATUS",
        XAUTH_NEXT_PIN = 16528 "XAUTH_NEXT_PIN",
        XAUTH_ANSWER = 16529 "XAUTH_ANSWER",
        MICROSOFT_IP4_SERVER = 23456 "INTERNAL_IP4_SERVER (Microsoft)",
        MICROSOFT_IP6_SERVER = 23457 "INTERNAL_IP6_SERVER (Microsoft)",
        UNITY_BANNER = 28672 "UNITY_BANNER",
        UNITY_SAVE_PASSWORD = 28673 "UNITY_SAVE_PASSWD",
        UNITY_DEFAULT_DOMAIN = 28674 "UNITY_DEF_DOMAIN",
        UNITY_SPLIT_DNS = 28675 "UNITY_SPLITDNS_NAME",
        UNITY_SPLIT_INCLUDE = 28676 "UNITY_SPLIT_INCLUDE",
        UNITY_NATT_PORT = 28677 "UNITY_NATT_PORT",
        UNITY_LOCAL_LAN = 28678 "UNITY_LOCAL_LAN (split exclude)",
        UNITY_PFS = 28679 "UNITY_PFS",
        UNITY_FIREWALL_TYPE = 28680 "UNITY_FW_TYPE",
        UNITY_BACKUP_SERVERS = 28681 "UNITY_BACKUP_SERVERS",
        UNITY_DDNS_HOSTNAME = 28682 "UNITY_DDNS_HOSTNAME",
        UNITY_28683 = 28683 "UNITY 28683 (iPhone)",
    }
}

impl ConfigAttribute {
    /// Numbers that Check Point uses for its own extended authentication.
    pub const CHECK_POINT_XAUTH: core::ops::RangeInclusive<u16> = 13..=20;
}

numbers! {
    /// Type of an extended authentication (draft-beaulieu-ike-xauth-02 section 6.2).
    XauthType(u16) {
        GENERIC = 0 "generic",
        RADIUS_CHAP = 1 "RADIUS-CHAP",
        OTP = 2 "OTP",
        S_KEY = 3 "S/KEY",
    }
}

numbers! {
    /// Result of an extended authentication (draft-beaulieu-ike-xauth-02 section 6.2).
    XauthStatus(u16) {
        FAIL = 0 "fail",
        OK = 1 "ok",
    }
}
