import { Component, type ReactNode } from "react";
import { ErrorBox } from "../ui/bits";

/** The last resort: says what broke instead of showing an empty page. */
export class Boundary extends Component<{ children: ReactNode; at?: string }, { error?: Error }> {
  override state: { error?: Error } = {};

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  /** Another page deserves another try. */
  override componentDidUpdate(before: { at?: string }) {
    if (this.state.error && before.at !== this.props.at) this.setState({ error: undefined });
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <div className="mx-auto max-w-md px-4 pt-24">
        <ErrorBox error={this.state.error} title="This page stopped working." onRetry={() => location.reload()} />
      </div>
    );
  }
}
