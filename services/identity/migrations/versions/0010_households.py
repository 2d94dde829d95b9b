"""Households: invitations, joining and leaving; what a person may not change of their own row."""

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table
from services.kit.migrate import SUBJECT, install_function, protect

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

HEAD = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
FUNCTIONS = {
    # Who is in the caller's account. Members see each other's names; ids are for the owner.
    "account_members()": f"""
        CREATE FUNCTION account_members()
        RETURNS TABLE (user_id uuid, display_name text, username text, is_owner boolean)
        LANGUAGE sql STABLE {HEAD}
        AS $$
          SELECT CASE WHEN me.id IN (account.owner_id, member.id) THEN member.id END,
            member.display_name, member.username, member.id = account.owner_id
          FROM public.users me
          JOIN public.accounts account ON account.id = me.account_id
          JOIN public.users member ON member.account_id = account.id AND member.deleted_at IS NULL
          WHERE me.id = {SUBJECT} AND me.deleted_at IS NULL
          ORDER BY member.id = account.owner_id DESC, member.id
        $$
    """,
    # Moves the caller into the account that the token invites them to; why not, if not.
    "join_account(bytea)": f"""
        CREATE FUNCTION join_account(token_sha256 bytea) RETURNS text
        LANGUAGE plpgsql {HEAD}
        AS $$
        DECLARE
          me public.users;
          invitation public.account_invitations;
          mine public.accounts;
          theirs public.accounts;
        BEGIN
          SELECT * INTO invitation FROM public.account_invitations i WHERE i.token_sha256 = $1;
          IF NOT FOUND THEN RETURN 'INVITATION_INVALID'; END IF;
          LOOP
            SELECT * INTO me FROM public.users u WHERE u.id = {SUBJECT};
            -- Accounts before people, and in one order: who joins waits for who leaves, and nobody for each other.
            PERFORM FROM public.accounts a WHERE a.id IN (me.account_id, invitation.account_id)
              ORDER BY a.id FOR NO KEY UPDATE;
            PERFORM FROM public.users u WHERE u.id = me.id AND u.account_id = me.account_id FOR NO KEY UPDATE;
            EXIT WHEN FOUND OR me.id IS NULL;
          END LOOP;
          SELECT * INTO me FROM public.users u
            WHERE u.id = me.id AND u.account_status = 'active' AND u.deleted_at IS NULL
              AND u.email_verified_at IS NOT NULL AND u.email = invitation.email;
          IF NOT FOUND THEN RETURN 'INVITATION_INVALID'; END IF;
          SELECT * INTO invitation FROM public.account_invitations i WHERE i.id = invitation.id FOR UPDATE;
          IF invitation.status = 'accepted' AND me.account_id = invitation.account_id THEN RETURN ''; END IF;
          IF invitation.status <> 'open' OR invitation.expires_at <= now() THEN RETURN 'INVITATION_INVALID'; END IF;
          SELECT * INTO theirs FROM public.accounts a WHERE a.id = invitation.account_id;
          IF theirs.deleted_at IS NOT NULL OR theirs.owner_id <> invitation.user_id THEN
            RETURN 'INVITATION_INVALID';
          END IF;
          IF me.account_id <> theirs.id THEN
            SELECT * INTO mine FROM public.accounts a WHERE a.id = me.account_id;
            IF mine.owner_id = me.id THEN
              IF EXISTS (SELECT FROM public.users u
                WHERE u.account_id = mine.id AND u.id <> me.id AND u.deleted_at IS NULL) THEN
                RETURN 'ACCOUNT_HAS_MEMBERS';
              END IF;
            END IF;
            IF (SELECT count(*) FROM public.users u WHERE u.account_id = theirs.id AND u.deleted_at IS NULL)
              >= theirs.max_users THEN
              RETURN 'ACCOUNT_FULL';
            END IF;
            UPDATE public.users u SET account_id = theirs.id,
              updated_at = greatest(now(), u.updated_at + interval '1 microsecond') WHERE u.id = me.id;
            IF mine.owner_id = me.id THEN
              UPDATE public.accounts a SET deleted_at = now(), updated_at = now() WHERE a.id = mine.id;
              UPDATE public.account_invitations i SET status = 'revoked', ended_at = now(), updated_at = now()
                WHERE i.user_id = me.id AND i.status = 'open';
            END IF;
          END IF;
          UPDATE public.account_invitations i SET status = 'accepted', ended_at = now(), updated_at = now()
            WHERE i.id = invitation.id;
          RETURN '';
        END
        $$
    """,
    "decline_account_invitation(bytea)": f"""
        CREATE FUNCTION decline_account_invitation(token_sha256 bytea) RETURNS text
        LANGUAGE plpgsql {HEAD}
        AS $$
        BEGIN
          UPDATE public.account_invitations i SET status = 'declined', ended_at = now(), updated_at = now()
          FROM public.users me
          WHERE i.token_sha256 = $1 AND i.status = 'open' AND i.expires_at > now()
            AND me.id = {SUBJECT} AND me.deleted_at IS NULL
            AND me.email_verified_at IS NOT NULL AND me.email = i.email;
          RETURN CASE WHEN FOUND THEN '' ELSE 'INVITATION_INVALID' END;
        END
        $$
    """,
    # Moves a member of the caller's account into one of their own: themselves, or anybody if the caller owns it.
    "leave_account(uuid, uuid)": f"""
        CREATE FUNCTION leave_account(member uuid, fresh_account uuid) RETURNS text
        LANGUAGE plpgsql {HEAD}
        AS $$
        DECLARE
          me uuid := {SUBJECT};
          account public.accounts;
        BEGIN
          SELECT a.* INTO account FROM public.accounts a JOIN public.users u ON u.account_id = a.id
            WHERE u.id = me AND u.deleted_at IS NULL FOR NO KEY UPDATE OF a;
          -- Read again under the lock: either may have left while it was waited for.
          IF (SELECT count(*) FROM public.users u
            WHERE u.id IN (me, member) AND u.account_id = account.id AND u.deleted_at IS NULL)
            IS DISTINCT FROM (CASE WHEN me = member THEN 1 ELSE 2 END)::bigint THEN
            RETURN 'NOT_FOUND';
          END IF;
          SELECT * INTO account FROM public.accounts a WHERE a.id = account.id;
          IF me NOT IN (member, account.owner_id) THEN RETURN 'NOT_ACCOUNT_OWNER'; END IF;
          IF member = account.owner_id THEN RETURN 'OWNER_CANNOT_LEAVE'; END IF;
          INSERT INTO public.accounts (id, owner_id) VALUES (fresh_account, member);
          UPDATE public.users u SET account_id = fresh_account,
            updated_at = greatest(now(), u.updated_at + interval '1 microsecond') WHERE u.id = member;
          RETURN '';
        END
        $$
    """,
    # An invitation names a third person: it is kept for 90 days after its end.
    "sweep_account_invitations()": f"""
        CREATE FUNCTION sweep_account_invitations() RETURNS void
        LANGUAGE sql {HEAD}
        AS $$
          UPDATE public.account_invitations SET status = 'expired', ended_at = expires_at, updated_at = now()
          WHERE status = 'open' AND expires_at <= now();
          DELETE FROM public.account_invitations WHERE ended_at < now() - interval '90 days';
        $$
    """,
}
# Who becomes an admin, and who is in which account, is not a matter of one's own row.
GUARD = """
    CREATE FUNCTION guard_users() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
      -- The functions above run as the tables' owner, whom row security does not hold either.
      IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) THEN RETURN NEW; END IF;
      IF TG_OP = 'INSERT' AND NEW.role = 'user' THEN RETURN NEW; END IF;
      IF TG_OP = 'UPDATE' AND NEW.account_id = OLD.account_id
        AND (NEW.role = OLD.role OR current_setting('app.role', true) = 'admin') THEN
        RETURN NEW;
      END IF;
      RAISE EXCEPTION 'a role or an account cannot be changed so' USING ERRCODE = 'insufficient_privilege';
    END
    $$
"""
# A deleted owner's account goes to the member who has been a person longest; without one it is closed.
SETTLE = """
    CREATE FUNCTION settle_account() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
      account public.accounts;
      heir uuid;
      fresh uuid := gen_random_uuid();
    BEGIN
      SELECT * INTO account FROM public.accounts a WHERE a.id = OLD.account_id FOR NO KEY UPDATE;
      IF TG_OP = 'UPDATE' AND NEW.deleted_at IS NULL THEN
        IF account.owner_id = NEW.id THEN
          UPDATE public.accounts a SET deleted_at = NULL, updated_at = now() WHERE a.id = account.id;
        ELSIF (SELECT count(*) FROM public.users u WHERE u.account_id = account.id AND u.deleted_at IS NULL)
          > account.max_users THEN
          -- Somebody has taken the place of who comes back.
          INSERT INTO public.accounts (id, owner_id) VALUES (fresh, NEW.id);
          UPDATE public.users u SET account_id = fresh WHERE u.id = NEW.id;
        END IF;
        RETURN NULL;
      END IF;
      UPDATE public.account_invitations i SET status = 'revoked', ended_at = now(), updated_at = now()
        WHERE i.user_id = OLD.id AND i.status = 'open';
      IF account.owner_id = OLD.id THEN
        SELECT u.id INTO heir FROM public.users u
          WHERE u.account_id = account.id AND u.id <> OLD.id AND u.deleted_at IS NULL ORDER BY u.id LIMIT 1;
        IF heir IS NOT NULL THEN
          UPDATE public.accounts a SET owner_id = heir, updated_at = now() WHERE a.id = account.id;
        ELSE
          UPDATE public.accounts a SET deleted_at = coalesce(a.deleted_at, now()), updated_at = now()
            WHERE a.id = account.id;
        END IF;
      END IF;
      -- Before a row is deleted it must be passed on; after an update nobody asks.
      RETURN OLD;
    END
    $$
"""
TRIGGERS = """
    CREATE TRIGGER guard BEFORE INSERT OR UPDATE OF role, account_id ON users
      FOR EACH ROW EXECUTE FUNCTION guard_users();
    CREATE TRIGGER settle_account AFTER UPDATE OF deleted_at ON users
      FOR EACH ROW WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION settle_account();
    CREATE TRIGGER settle_account_of_erased BEFORE DELETE ON users
      FOR EACH ROW EXECUTE FUNCTION settle_account();
"""
MINE = f"id = (SELECT users.account_id FROM users WHERE users.id = {SUBJECT})"


def upgrade() -> None:
    op.create_table(
        "account_invitations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False, comment="who is invited"),
        sa.Column("status", sa.Text, nullable=False, server_default="open"),
        sa.Column("token_sha256", sa.LargeBinary, comment="null until the mail is made"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_invitations")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_account_invitations_token_sha256")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_account_invitations_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_account_invitations_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            'email = lower(email COLLATE "C") AND char_length(email) BETWEEN 3 AND 254',
            name=op.f("ck_account_invitations_email"),
        ),
        sa.CheckConstraint(
            "status IN ('open', 'accepted', 'declined', 'revoked', 'expired')",
            name=op.f("ck_account_invitations_status"),
        ),
        sa.CheckConstraint("(status = 'open') = (ended_at IS NULL)", name=op.f("ck_account_invitations_ended")),
        sa.CheckConstraint("octet_length(token_sha256) = 32", name=op.f("ck_account_invitations_token_sha256")),
    )
    op.create_index(
        op.f("uq_account_invitations_open"),
        "account_invitations",
        ["user_id", "account_id", "email"],
        unique=True,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(op.f("ix_account_invitations_account_id"), "account_invitations", ["account_id"])
    protect("account_invitations", verbs="SELECT, INSERT, UPDATE")
    # Of somebody else, who may be erased long before the one who invited them.
    audit_table("account_invitations", secret=("email",))

    # A member sees the account; its owner alone changes it.
    op.execute("DROP POLICY member ON accounts")
    op.execute(f"CREATE POLICY member ON accounts FOR SELECT USING ({MINE})")
    op.execute(f"CREATE POLICY owner ON accounts USING ({MINE} AND owner_id = {SUBJECT}) WITH CHECK ({MINE})")

    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)
    for signature, definition in (("guard_users()", GUARD), ("settle_account()", SETTLE)):
        # Nobody's to call: a temporary table with such a trigger would move accounts and people.
        op.execute(definition)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(TRIGGERS)


def downgrade() -> None:
    for trigger in ("guard", "settle_account", "settle_account_of_erased"):
        op.execute(f"DROP TRIGGER {trigger} ON users")
    for signature in ("guard_users()", "settle_account()", *FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP POLICY owner ON accounts")
    op.execute("DROP POLICY member ON accounts")
    op.execute(f"CREATE POLICY member ON accounts USING ({MINE}) WITH CHECK ({MINE})")
    op.drop_table("account_invitations")
